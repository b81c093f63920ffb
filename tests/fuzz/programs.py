"""Hostile inputs through the programs' own main functions."""

SUBJECTS = {}
