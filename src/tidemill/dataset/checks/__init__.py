"""Checks on entry: one a file, each a pure function over names, labels, hashes or columns, and the report of them."""
