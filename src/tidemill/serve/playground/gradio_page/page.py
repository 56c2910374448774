"""The page: which model, and its panel. Of the models it knows only what the server tells the person at the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from tidemill.serve.playground.gradio_page import wording
from tidemill.serve.playground.gradio_page.asking import RefusedError, Server
from tidemill.serve.playground.gradio_page.panel import build_panel, host, token, words

_KEPT = (600, 3600)  # seconds: how often what was uploaded is looked through, and how old it may become
_SESSION = 3600  # seconds that a page's examples are kept after it was closed
_AT_A_TIME = 16
_WAITING = 64


def page(server: Server, files: Path) -> gr.Blocks:
    """The page over the server's models. It is the same for everybody: models are asked for when it is opened."""
    with gr.Blocks(title="Try a model", analytics_enabled=False, delete_cache=_KEPT) as blocks:
        with gr.Row(equal_height=False):
            head = words("")
            leave = gr.Button(
                "Sign out", link="/ui/sign-out", link_target="_self", size="sm", scale=0, min_width=100, visible=False
            )
        choice = gr.Dropdown([], label="Model", visible=False, interactive=True, elem_classes="tm-choice")
        shown = gr.State(None, time_to_live=_SESSION)

        @gr.render(inputs=[shown], triggers=[shown.change], show_progress="hidden")  # type: ignore[untyped-decorator]  # Gradio's own
        def panel(given: Mapping[str, Any] | None) -> None:
            if given is not None:
                build_panel(server, given, head, files)

        words(wording.FOOT)

        def opened(request: gr.Request) -> tuple[Any, ...]:
            return _show(server, None, request)

        def chosen(name: str, request: gr.Request) -> tuple[Any, ...]:
            return _show(server, name, request)

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        blocks.load(opened, None, [head, leave, choice, shown], **quiet)
        choice.input(chosen, [choice], [head, leave, choice, shown], **quiet)
    blocks.queue(max_size=_WAITING, default_concurrency_limit=_AT_A_TIME, api_open=False)
    assert isinstance(blocks, gr.Blocks)
    return blocks


def _show(server: Server, name: str | None, request: gr.Request) -> tuple[Any, ...]:
    """The head, the choice and the panel for the model of this name, or for the first."""
    leave = gr.update(visible=bool(token(request)))
    try:
        models = server.models(token(request))
        named = {_name(each): each for each in models}
        model = named.get(name or "", models[0])
        offered = server.examples(model, token(request))
    except RefusedError as error:
        return wording.failure(error), leave, gr.skip(), None
    choice = gr.update(choices=list(named), value=_name(model), visible=len(named) > 1)
    head = wording.head(model, model["version"], host(request))
    return head, leave, choice, {"model": model, "offered": offered}


def _name(model: Mapping[str, Any]) -> str:
    return f"{model['name']}, version {model['version']}" if model["version"] else str(model["name"])
