"""Face: HTTP."""
