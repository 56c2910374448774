"""Batch prediction: files, folders and tables in, a table out, a chunk at a time."""

from tidemill.project.predicting.job import Job, Named, open_job
from tidemill.project.predicting.write import Written, predict

__all__ = ["Job", "Named", "Written", "open_job", "predict"]
