"""`tidemill reproduce`: a recorded run trained again in a fresh directory, and compared with its record."""

from tidemill.project.again.reproducing import Reproduced, Watcher, reproduce

__all__ = ["Reproduced", "Watcher", "reproduce"]
