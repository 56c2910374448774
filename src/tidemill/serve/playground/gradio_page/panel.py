"""One model on the page: an input, its answer, and what people say of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from tidemill.serve.playground.gradio_page import wording
from tidemill.serve.playground.gradio_page.asking import RefusedError, Server
from tidemill.serve.playground.gradio_page.forms import Form, build_examples, build_form

TOP = 5


def build_panel(server: Server, shown: Mapping[str, Any], head: gr.Markdown, files: Path) -> None:
    """Put the panel where the page stands. `shown` is {"model": described, "offered": examples}."""
    model, offered = shown["model"], shown["offered"]
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=340):
            form = build_form(model, offered, files)
        with gr.Column(scale=5, min_width=320):
            said = _Said.build(model)
    chosen = None
    if offered["examples"]:
        words(wording.EXAMPLES)
        chosen = build_examples(model, offered["examples"], files)
    asking = _Asking(server, model, offered["examples"], form)
    outputs = [*said.components, head]
    for send in form.sends:
        send(asking.ask, form.fields, outputs, show_progress="hidden", api_visibility="private")
    if chosen is not None:
        chosen(asking.try_one, None, [*form.fields, *outputs], show_progress="hidden", api_visibility="private")
    said.listen(server, bool(model["labels"]))


@dataclass(frozen=True, slots=True)
class _Said:
    """The answer's place, and the way to say that it is wrong."""

    label: gr.Label
    facts: gr.Markdown
    answered: gr.State
    ask: gr.Row
    right: gr.Button
    wrong: gr.Button
    correct: gr.Row
    truth: gr.Dropdown | gr.Number
    send: gr.Button
    back: gr.Button
    kept: gr.Markdown

    @classmethod
    def build(cls, model: Mapping[str, Any]) -> _Said:
        answered = gr.State(None)
        label = gr.Label(label="Answer", num_top_classes=TOP)
        facts = words(wording.INVITATION)
        with gr.Row(visible=False) as ask:
            right = gr.Button("That is right", size="sm", min_width=120)
            wrong = gr.Button("That is wrong", size="sm", min_width=120, elem_classes="tm-wrong")
        with gr.Row(visible=False, equal_height=True) as correct:
            truth: gr.Dropdown | gr.Number
            if model["labels"]:
                truth = gr.Dropdown(list(model["labels"]), label="What is right?", min_width=160, interactive=True)
            else:
                truth = gr.Number(label="Which value is right?", min_width=160, interactive=True)
            with gr.Column(min_width=90, scale=0):
                send = gr.Button("Send", variant="primary", size="sm")
                back = gr.Button("Back", size="sm")
        return cls(label, facts, answered, ask, right, wrong, correct, truth, send, back, words(""))

    @property
    def components(self) -> list[gr.components.Component | gr.Row]:
        """As `_Asking` gives their values."""
        return [self.label, self.facts, self.answered, self.ask, self.correct, self.kept]

    def listen(self, server: Server, classes: bool) -> None:
        """Answer the buttons."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.wrong.click(
            partial(_what_is_right, classes), [self.answered], [self.ask, self.correct, self.truth, self.kept], **quiet
        )
        self.back.click(
            lambda: (gr.update(visible=True), gr.update(visible=False)), None, [self.ask, self.correct], **quiet
        )
        outputs = [self.ask, self.correct, self.kept]

        def agree(answered: dict[str, Any] | None, request: gr.Request) -> tuple[Any, ...]:
            return _feedback(server, answered, answered["said"] if answered else None, request)

        def put_right(answered: dict[str, Any] | None, truth: Any, request: gr.Request) -> tuple[Any, ...]:
            return _feedback(server, answered, truth, request)

        self.right.click(agree, [self.answered], outputs, **quiet)
        self.send.click(put_right, [self.answered, self.truth], outputs, **quiet)


class _Asking:
    """Asks the server, and gives values for `_Said.components` and the page's head."""

    def __init__(self, server: Server, model: Mapping[str, Any], examples: list[Mapping[str, Any]], form: Form) -> None:
        self._server, self._model, self._examples, self._form = server, model, examples, form

    def ask(self, request: gr.Request, *values: Any) -> tuple[Any, ...]:
        """Ask of what is in the fields."""
        return self._answer(self._form.read(values), None, request)

    def try_one(self, chosen: gr.SelectData, request: gr.Request) -> tuple[Any, ...]:
        """Take an example into the fields, and ask of it."""
        index = chosen.index[0] if isinstance(chosen.index, list | tuple) else chosen.index
        example = self._examples[index]
        return *self._form.fill(example["input"]), *self._answer(example["input"], example["label"], request)

    def _answer(self, given: Any, truth: str | None, request: gr.Request) -> tuple[Any, ...]:
        hidden = gr.update(visible=False)
        if given is None:
            return None, wording.INVITATION, None, hidden, hidden, "", gr.skip()
        try:
            answer = self._server.predict(self._model, given, token(request))
        except RefusedError as error:
            return None, wording.failure(error), None, hidden, hidden, "", gr.skip()
        label = dict(answer.scores) if answer.scores else wording.brief(answer.said)
        facts = wording.compared(answer, truth) + wording.facts(answer, self._model["version"])
        head = wording.head(self._model, answer.version, host(request))
        return label, facts, asdict(answer), gr.update(visible=True), hidden, "", head


def _what_is_right(classes: bool, answered: dict[str, Any] | None) -> tuple[Any, ...]:
    """Ask for the true label, the likeliest first, or for the true value."""
    said, scores = (answered["said"], answered["scores"]) if answered else ("", {})
    others = [label for label in sorted(scores, key=scores.__getitem__, reverse=True) if label != said]
    field = gr.update(choices=others, value=None) if classes else gr.update(value=None)
    return gr.update(visible=False), gr.update(visible=True), field, ""


def _feedback(server: Server, answered: dict[str, Any] | None, label: Any, request: gr.Request) -> tuple[Any, ...]:
    if answered is None or label is None:
        return gr.skip(), gr.skip(), wording.UNSAID
    try:
        fresh = server.feedback(answered["id"], str(label), token(request))
    except RefusedError as error:
        return gr.skip(), gr.skip(), wording.failure(error)
    return gr.update(visible=True), gr.update(visible=False), wording.kept(str(label), fresh)


def words(html: str) -> gr.Markdown:
    """A place for HTML. Gradio's own runs a script of each, which the page's policy forbids; this is cleaned of any."""
    return gr.Markdown(html, latex_delimiters=[], elem_classes="tm-words")


def token(request: gr.Request) -> str:
    """The header of the person at the page, as the server passed it on; empty where none is asked for."""
    return str(request.headers.get("authorization", ""))


def host(request: gr.Request) -> str:
    """By which name the person reaches the server."""
    return str(request.headers.get("host", ""))
