"""Networks: text to and from records, shapes, variants and structure."""
