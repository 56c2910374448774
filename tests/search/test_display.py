"""`tidemill tune` in a terminal: the board is drawn, and then the last training in its place."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from tidemill.project.layout import Layout


def in_terminal(project: Layout, *arguments: str) -> tuple[int, str]:
    """Exit code, and what a terminal of 120 columns was sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    command = [sys.executable, "-m", "tidemill", *arguments]
    process = subprocess.Popen(command, cwd=project.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    return process.wait(), said.decode("utf-8", "replace")


def _read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


def test_a_search_is_drawn_on_a_terminal(project: Layout) -> None:
    code, said = in_terminal(project, "tune", "model.params.trees=5,6", "search.sampler=grid")
    assert code == 0, said
    assert "2/2 trials" in said
    assert "next:" in said
    board, _, after = said.rpartition("2/2 trials")
    assert "exporting" not in board  # the board is done before the training is drawn
    assert "exporting" in after


def test_bad_settings_in_a_terminal_are_one_error(project: Layout) -> None:
    code, said = in_terminal(project, "tune", "model.params.depht=2,3")
    assert code == 2
    assert "there is no setting" in said
    assert "Traceback" not in said
