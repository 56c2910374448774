"""The command line, in this process: what it printed, and the code that it would exit with."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tidemill.cli import main
from tidemill.project.layout import Layout


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def tidemill(layout: Layout, *args: str) -> Done:
    """Run `tidemill ARGS` in the project, its output no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(layout.root)
        patch.setattr(sys, "argv", ["tidemill", *args])
        with pytest.raises(SystemExit) as ended:
            main()
    return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())
