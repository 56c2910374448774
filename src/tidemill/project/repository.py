"""What git keeps of a project, asked of one process that stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import weakref
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from tidemill.project.layout import Layout


class Objects:
    """Git's objects by name, out of a `git cat-file` that is started when first asked and ended by `close`.

    It looks names up anew each time: a tag that was moved or deleted meanwhile is seen.
    """

    def __init__(self, layout: Layout) -> None:
        self._root = layout.root
        self._process: subprocess.Popen[bytes] | None = None

    def get(self, names: Sequence[str]) -> list[bytes | None]:
        """What git keeps under each of `names`, which hold no line break; None for what it does not have."""
        for _ in range(2):  # one that died meanwhile is started again
            try:
                return self._ask(names)
            except OSError:
                self.close()
        return [None] * len(names)

    def close(self) -> None:
        """End the process; the next `get` starts another."""
        if self._process is not None:
            self._process = None
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _ask(self, names: Sequence[str]) -> list[bytes | None]:
        if self._process is None:
            self._process = subprocess.Popen(
                ["git", "cat-file", "--batch"], cwd=self._root, stderr=subprocess.DEVNULL,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            self._end = weakref.finalize(self, _end, self._process)
        asked, said = self._process.stdin, self._process.stdout
        assert asked is not None and said is not None
        found = []
        for name in names:  # one at a time: two large answers would fill the pipe that the second question waits behind
            asked.write(f"{name}\n".encode())
            asked.flush()
            found.append(_answer(said))
        return found


def missing(layout: Layout) -> str:
    """Why git can say nothing of this project, in words; empty where it can."""
    if shutil.which("git") is None:
        return "git is not installed here"
    folders = (layout.root, *layout.root.parents)
    there = "GIT_DIR" in os.environ or any((folder / ".git").exists() for folder in folders)
    return "" if there else "the project is in no git repository here"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()
    process.wait()


def _answer(said: IO[bytes]) -> bytes | None:
    """One answer: a head, then the content. Raises OSError where the process ended."""
    line = said.readline()
    if not line.endswith(b"\n"):
        raise BrokenPipeError("git cat-file ended")
    head = line.split(b" ")
    if len(head) != 3 or not head[2].strip().isdigit():  # OBJECT TYPE SIZE; else NAME missing
        return None
    size = int(head[2])
    content = said.read(size + 1)
    if len(content) != size + 1:
        raise BrokenPipeError("git cat-file ended")
    return content[:size]
