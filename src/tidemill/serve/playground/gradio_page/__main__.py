"""The process that `tidemill.serve.playground.keeper` starts. It leaves when its standard input ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

from tidemill.serve.starter import stop_without_starter

_NICE = 5  # predictions come first


def main() -> None:
    """The one argument is JSON: the page's folder and socket, the server's address and its certificate, or null."""
    given = json.loads(sys.argv[1])

    def leave() -> None:
        shutil.rmtree(given["folder"], ignore_errors=True)  # the server may have been killed, and nobody else does
        os._exit(0)

    stop_without_starter(leave)
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")  # where memory is short, the page goes before the server
    import uvicorn

    from tidemill.serve.playground.gradio_page.application import application
    from tidemill.serve.playground.gradio_page.asking import Server

    certificate = given["certificate"]
    server = Server(given["url"], Path(certificate) if certificate else None)
    config = uvicorn.Config(
        application(server, Path(given["folder"]) / "files"),
        uds=given["socket"],
        log_level="error",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
