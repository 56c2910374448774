"""The packed data set: read, write, digest, diff."""
