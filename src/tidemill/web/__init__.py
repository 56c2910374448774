"""The loop's page."""
