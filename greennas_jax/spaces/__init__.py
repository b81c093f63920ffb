"""Networks as token strings, and their exact and relaxed cost."""
