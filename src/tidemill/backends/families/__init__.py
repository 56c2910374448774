"""Families of models, one a task."""
