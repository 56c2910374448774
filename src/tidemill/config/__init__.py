"""Hydra composition, checked against a typed schema."""
