"""Formats a model is exported to."""
