"""Searching for better settings in a project: a study in its database, trials in workers."""
