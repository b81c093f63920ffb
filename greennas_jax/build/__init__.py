"""Executable networks."""
