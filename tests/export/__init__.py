"""Exporting in fewer bits and other formats, and the gate they must pass."""
