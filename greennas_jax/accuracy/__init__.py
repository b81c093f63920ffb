"""Accuracy, measured by training or scored without."""
