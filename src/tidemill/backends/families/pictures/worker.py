"""A process that decodes pictures: `python -m tidemill.backends.families.pictures.worker`, spoken to through pipes.

It is told once what to read and how to decode (a line of JSON), then gets slices, one line each; it answers each with a
header (see `HEADER`) and the pixels, or the error as JSON. It ends when its input ends, so also when its parent dies.
Of its own rather than of `multiprocessing`: that would run the user's script again in each worker.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

from tidemill.bundle.pictures import prepare_pictures
from tidemill.dataset.slices import Slice, read_slice
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.domain.record import from_plain
from tidemill.errors import ItemError, TidemillError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEADER = struct.Struct("<?Q")
"""Whether pixels follow (else an error), and how many bytes."""


def decode(preprocessing: ImagePreprocessing, part: Slice, column: str, threads: int | None) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C]: the pictures of `part`, by what decodes them in the server, too. Raises ItemError."""
    return prepare_pictures(preprocessing, read_slice(part, column), threads)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the input ends."""
    task: dict[str, Any] = json.loads(requests.readline())
    preprocessing = from_plain(ImagePreprocessing, task["preprocessing"])
    for line in requests:
        try:
            pixels = decode(preprocessing, Slice(*json.loads(line)), task["column"], 1)
        except (TidemillError, OSError) as error:
            content = json.dumps(_told(error)).encode()
            answers.write(HEADER.pack(False, len(content)) + content)
        else:
            answers.write(HEADER.pack(True, pixels.nbytes))
            answers.write(pixels.data.cast("B"))
        answers.flush()


def _told(error: TidemillError | OSError) -> dict[str, Any]:
    if isinstance(error, TidemillError):
        index = error.index if isinstance(error, ItemError) else None
        return {"headline": error.headline, "remedy": error.remedy, "index": index}
    return {"headline": str(error), "remedy": "", "index": None}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which then closes the pipe
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)  # the parent is gone: nobody is left to tell
