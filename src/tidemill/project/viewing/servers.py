"""Model servers of this project that run now, and what they say of themselves."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Sequence

from tidemill.project.layout import Layout
from tidemill.project.viewing.records import ServerView

_FAILED = re.compile(r'^tidemill_requests_total\{status="5\d\d"\} ([0-9.e+]+)$', re.MULTILINE)
_PATIENCE = 0.3  # seconds; a page does not wait for a server that hangs


def live_servers(layout: Layout, model: str) -> tuple[ServerView, ...]:
    """The servers of `model` whose process is alive."""
    from tidemill.project import serving

    return tuple(
        ServerView(server.pid, server.url)
        for server in serving.running_servers(layout)
        if server.model.rpartition("/")[0] == model
    )


def count_errors(servers: Sequence[ServerView]) -> int | None:
    """Requests that `servers` failed to answer (5xx) since they started; None where none of them can be asked."""
    counts = [count for count in map(_errors, servers) if count is not None]
    return sum(counts) if counts else None


def _errors(server: ServerView) -> int | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{server.address}/metrics", timeout=_PATIENCE) as answer:
            text = answer.read(1 << 20).decode("utf-8", "replace")
    except (OSError, urllib.error.URLError, ValueError):
        return None
    return round(sum(float(count) for count in _FAILED.findall(text)))
