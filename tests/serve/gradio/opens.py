"""Builds the form and the examples of hostile bundles; Gradio leaves loops open, so it has a process of its own.

Says nothing where all of them can be shown, and ends with a traceback else.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import gradio as gr
import orjson

from tidemill.serve.playground.gradio_page.forms import build_examples, build_form

HUGE = 10**400
COLUMNS = [
    {"name": "whole", "type": "integer", "categories": [], "nullable": False},
    {"name": "broken", "type": "float", "categories": [], "nullable": False},
    {"name": "kind", "type": "category", "categories": [], "nullable": True},
    {"name": "known", "type": "category", "categories": ["a", "b"], "nullable": False},
]
MODEL: dict[str, Any] = {"name": "price", "version": 1, "task": "tabular", "labels": [], "columns": COLUMNS}
LABELS = ["no number", "", str(HUGE), "nan", None]
ROWS: list[dict[str, Any]] = [
    {"whole": HUGE, "broken": HUGE, "kind": HUGE, "known": HUGE},
    {"whole": 1e300, "broken": 1e300, "kind": 1.5, "known": "c"},
    {"whole": "a", "broken": [1], "kind": {"a": 1}, "known": ["a"]},
    {},
]


def main() -> None:
    """The one argument is a folder for files."""
    warnings.simplefilter("ignore")  # Gradio's, of a value that is no choice; it shows it
    for row in ROWS:
        offered = [{"input": row, "label": label, "output": "1"} for label in LABELS]
        with gr.Blocks(analytics_enabled=False) as blocks:
            form = build_form(MODEL, {"examples": offered, "ranges": {"whole": [0, HUGE]}}, Path(sys.argv[1]))
            build_examples(MODEL, offered, Path(sys.argv[1]))
        fields: Any = form.fields
        shown = [field.postprocess(value) for field, value in zip(fields, form.fill(row), strict=True)]
        orjson.dumps([shown, blocks.get_config_file()], default=str)  # as Gradio sends it


if __name__ == "__main__":
    main()
