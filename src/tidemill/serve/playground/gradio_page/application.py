"""Gradio's application for the page, with what it must not do switched off."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from starlette.types import ASGIApp

from tidemill.serve.playground.gradio_page.asking import Server
from tidemill.serve.playground.gradio_page.guard import Guard
from tidemill.serve.playground.gradio_page.page import page
from tidemill.serve.playground.gradio_page.theme import theme
from tidemill.serve.playground.gradio_page.tidy import Tidy

_STATIC = Path(__file__).parent / "static"
_LARGEST = 32 << 20  # bytes of a file: what the server takes


def application(server: Server, files: Path) -> ASGIApp:
    """The page at /ui; what is uploaded goes to `files`."""
    blocks = page(server, files)
    blocks.has_launched = True  # from here on Gradio checks itself, too, which files it is told of
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    mounted = gr.mount_gradio_app(
        app,
        blocks,
        "/ui",
        footer_links=[],
        run_history=False,
        show_error=False,
        allowed_paths=[],
        max_file_size=_LARGEST,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=[_STATIC / "gradio.css"],
    )
    return Guard(Tidy(mounted), files)
