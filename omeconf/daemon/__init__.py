"""Process: keep the engine running what the repository says."""
