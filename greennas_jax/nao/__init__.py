"""The learned embedding and the search in it."""
