"""Suites of `benchmark.py`: one module each, registered by name."""
