"""Where data versions are kept."""
