"""Measurements: `make bench` (this package) and `make bench-check` (check.py)."""
