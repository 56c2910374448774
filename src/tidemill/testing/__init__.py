"""Contract suites that the author of a backend runs."""
