"""Disk: one snapshot durably after another."""
