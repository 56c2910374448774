"""Python runs this at its start in every process of `tidemill run`: it takes itself off the path, runs the
sitecustomize that it stands before, and waits for a framework to be imported. It must never disturb the script.
"""

from __future__ import annotations


def _begin() -> None:
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [each for each in sys.path if os.path.abspath(each or ".") != here]
    sys.path_importer_cache.pop(here, None)
    log = os.environ.get("TIDEMILL_CAPTURE")
    if log and os.path.isdir(os.path.dirname(log)):
        import importlib.util

        spec = importlib.util.spec_from_file_location(
            "_tidemill_watch", os.path.join(os.path.dirname(here), "watch.py")
        )
        if spec is None or spec.loader is None:
            return
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.begin(log, os.path.dirname(here))


def _stand_aside() -> None:
    """Run the sitecustomize that would have run, under its own name."""
    import sys
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sitecustomize"])


try:  # noqa: SIM105 - contextlib would be imported for it, in every process
    _begin()
except Exception:
    pass
_stand_aside()
