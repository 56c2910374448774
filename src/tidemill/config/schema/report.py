"""What the evaluation report says that no figure can, and how much it looks at."""

from __future__ import annotations

from dataclasses import dataclass

from tidemill.config.schema.fields import bounded


@dataclass
class ReportConfig:
    """The model card. What is left empty here is named as missing on the page."""

    intended_use: str = ""  # what the model is for, and for whom
    not_for: str = ""  # what it must not be used for
    limits: str = ""  # what is known to go wrong
    contact: str = ""  # who answers for it
    rows: int = bounded(2000, low=0, high=1_000_000)  # of train and of val that are scored; of test it is every row
