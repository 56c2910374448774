"""Loggers, the spool, and tracking servers that go away."""
