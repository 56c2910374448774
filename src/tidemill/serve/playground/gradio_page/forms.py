"""Where people give an input, by the task of the model, and examples of it."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from tidemill.serve.playground.gradio_page.wording import brief

Listen = Callable[..., Any]
_IN_A_ROW = 3
_SMALL = 96  # pixels
_WHOLE, _NUMBERS = 1 << 63, 1e308  # what the JSON of Gradio takes of whole numbers, and of others


@dataclass(frozen=True, slots=True)
class Form:
    """`fields` hold an input, `read` makes of their values what is asked, and `fill` values of an example's input.

    `sends` are the events that ask: a button, or a picture that was given.
    """

    fields: Sequence[gr.components.Component]
    read: Callable[[Sequence[Any]], Any]
    fill: Callable[[Any], Sequence[Any]]
    sends: Sequence[Listen]


def build_form(model: Mapping[str, Any], offered: Mapping[str, Any], files: Path) -> Form:
    """The fields for one input, put where the page stands."""
    match model["task"]:
        case "image":
            return _picture(offered["examples"], files)
        case "text":
            return _sentence()
        case _:
            return _row(model["columns"], offered)


def build_examples(model: Mapping[str, Any], offered: Sequence[Mapping[str, Any]], files: Path) -> Listen:
    """Show what may be tried; returns the event of one that was chosen, which knows its number as `index`."""
    labels = [_labelled(model, each["label"]) for each in offered]
    if model["task"] == "image":
        pictures = [
            (str(keep_picture(each["input"], files)), label) for each, label in zip(offered, labels, strict=True)
        ]
        gallery = gr.Gallery(
            pictures, show_label=False, container=False, columns=6, height="auto", allow_preview=False, buttons=[],
            object_fit="contain", interactive=False, elem_classes=["tm-examples", *_sharp(offered)],
        )  # fmt: skip
        return gallery.select
    if model["task"] == "text":
        names, rows = ["Sentence"], [[each["input"]] for each in offered]
    else:
        names = [column["name"] for column in model["columns"]]
        rows = [[_cell(each["input"].get(name)) for name in names] for each in offered]
    shown = gr.Dataset(
        show_label=False,
        components=["textbox"] * (len(names) + 1),
        headers=["True label", *names],
        samples=[[label, *row] for label, row in zip(labels, rows, strict=True)],
        samples_per_page=12,
        type="index",
        layout="table",
    )
    return shown.select


def keep_picture(given: Mapping[str, str], files: Path) -> Path:
    """A picture as a file, of which the bytes are those of the example."""
    content = b64decode(given["b64"])
    path = files / f"example-{hashlib.sha256(content).hexdigest()[:32]}{_ending(content)}"
    if not path.exists():
        path.write_bytes(content)
    return path


def _picture(offered: Sequence[Mapping[str, Any]], files: Path) -> Form:
    picture = gr.Image(
        label="Picture", type="filepath", image_mode=None, sources=["upload", "clipboard"], height=320, buttons=[],
        elem_classes=["tm-picture", *_sharp(offered)],
    )  # fmt: skip

    def read(values: Sequence[Any]) -> Any:
        (path,) = values
        return {"b64": b64encode(Path(path).read_bytes()).decode("ascii")} if path else None

    return Form([picture], read, lambda given: [str(keep_picture(given, files))], [picture.input])


def _sentence() -> Form:
    sentence = gr.Textbox(label="Sentence", lines=5, max_lines=12, placeholder="A sentence")
    send = gr.Button("Predict", variant="primary")
    return Form([sentence], lambda values: values[0] or None, lambda given: [given], [send.click, sentence.submit])


def _row(columns: Sequence[Mapping[str, Any]], offered: Mapping[str, Any]) -> Form:
    first = offered["examples"][0]["input"] if offered["examples"] else {}
    fields: list[gr.components.Component] = []
    for start in range(0, len(columns), _IN_A_ROW):
        with gr.Row():
            fields += [
                _field(column, _fitting(column, first.get(column["name"])), offered["ranges"].get(column["name"]))
                for column in columns[start : start + _IN_A_ROW]
            ]
    send = gr.Button("Predict", variant="primary")

    def read(values: Sequence[Any]) -> Any:
        given = zip(columns, values, strict=True)
        return {column["name"]: None if value == "" and column["nullable"] else value for column, value in given}

    def fill(given: Mapping[str, Any]) -> Sequence[Any]:
        return [_fitting(column, given.get(column["name"])) for column in columns]

    return Form(fields, read, fill, [send.click])


def _field(column: Mapping[str, Any], value: Any, seen: Sequence[float] | None) -> gr.components.Component:
    name = column["name"]
    if column["categories"]:
        none = [("none", "")] if column["nullable"] else []
        choices = none + [(each, each) for each in column["categories"]]
        return gr.Dropdown(choices, value=value or (None if not none else ""), label=name, min_width=150)
    if column["type"] == "category":
        return gr.Textbox(value, label=name, max_lines=1, min_width=150)
    info = f"seen {brief(seen[0])} to {brief(seen[1])}" if seen else None
    precision = 0 if column["type"] == "integer" else None
    return gr.Number(value, label=name, info=info, precision=precision, min_width=150)


def _fitting(column: Mapping[str, Any], value: Any) -> Any:
    """A value of an example as its field can hold it; None for what is none of the column's, or too large for JSON."""
    if column["categories"] or column["type"] == "category":
        return value if isinstance(value, str) else None
    if not isinstance(value, int | float):
        return None
    if abs(value) < _WHOLE:
        return value
    return float(value) if column["type"] == "float" and abs(value) < _NUMBERS else None


def _sharp(offered: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pictures of few pixels are shown as such; others are smoothed."""
    try:
        with Image.open(BytesIO(b64decode(offered[0]["input"]["b64"]))) as picture:
            return ["tm-small"] if max(picture.size) < _SMALL else []
    except (IndexError, OSError, ValueError, Image.DecompressionBombError):
        return []


def _labelled(model: Mapping[str, Any], label: str | None) -> str:
    if label is None:
        return ""
    return label if model["labels"] else brief(label)


def _cell(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _ending(content: bytes) -> str:
    """By which a browser is told what it is; a picture of another kind is shown by none."""
    for start, ending in ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"BM", ".bmp")):
        if content.startswith(start):
            return ending
    return ".webp" if content[8:12] == b"WEBP" else ".img"
