"""Runs a notebook as a script, in the user's own Python: `python notebook.py IN.ipynb`; prints what its cells print.

The notebook with its outputs is written beside the log of the run; the one that was given stays as it is.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # the module typing is not imported for this
if TYPE_CHECKING:
    from typing import Any


def main(path: str) -> int:
    """Exit code: 0, or 1 when a cell failed or what runs notebooks is not installed."""
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as error:
        print(f"a notebook needs {error.name}:  pip install nbclient nbformat ipykernel", file=sys.stderr)
        return 1
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # its own
    client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": os.path.dirname(path) or "."}})
    client.on_cell_executed = _print
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        log = os.environ.get("TIDEMILL_CAPTURE")
        if log and os.path.isdir(os.path.dirname(log)):
            executed = os.path.join(os.path.dirname(log), f"executed-{os.path.basename(path)}")
            nbformat.write(notebook, executed)  # type: ignore[no-untyped-call]  # as above
    return 0


def _print(cell: Any, **more: Any) -> None:
    for output in cell.get("outputs", ()):
        if output.get("output_type") == "stream":
            stream = sys.stderr if output.get("name") == "stderr" else sys.stdout
            stream.write(output["text"])
            stream.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
