"""Searches over a space: what to query next, and whom to believe in the end."""
