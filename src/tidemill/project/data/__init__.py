"""Data versions of a project: add, list, compare, push, pull, open."""

from tidemill.project.data.adding import FIRST, Added, add, add_version
from tidemill.project.data.checking import Choices
from tidemill.project.data.sources import Fetching, Given, parse_digest, resolve
from tidemill.project.data.versions import diff, export, find, open_for_task, open_version, pull, push, store, versions

__all__ = [
    "FIRST",
    "Added",
    "Choices",
    "Fetching",
    "Given",
    "add",
    "add_version",
    "diff",
    "export",
    "find",
    "open_for_task",
    "open_version",
    "parse_digest",
    "pull",
    "push",
    "resolve",
    "store",
    "versions",
]
