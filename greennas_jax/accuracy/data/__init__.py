"""Data sets by source: what each reads becomes one record with three disjoint splits."""
