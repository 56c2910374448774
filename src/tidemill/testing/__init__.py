"""Contract suites for backend authors, and in-memory backends."""
