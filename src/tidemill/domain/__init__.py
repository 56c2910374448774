"""Frozen records that import only the standard library; each names its parents by digest, so lineage is a walk."""
