"""The bundle: read (audit first), write, preprocess."""
