"""ONNX Runtime on the CPU.

The graph is audited before it comes here, and its bytes are compared with the bundle's digest once more, so that what
is loaded is what was audited. It is loaded in this process: a graph that passed the audit and yet asks for more memory
than there is can be this process's death. `tidemill.bundle.prove` loads what is not known in another one first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from tidemill.domain.bundle import Bundle
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError, FeedError, TidemillError, first_line
from tidemill.ports import Scored

if TYPE_CHECKING:
    from tidemill.ports import Feed, Runtime, Session

GRAPH = "model.onnx"
_INVALID_ARGUMENT = "[ONNXRuntimeError] : 2 :"
_MISFITS = (
    "attempting to broadcast", "dimension mismatch", "dimensions must match", "cannot be reshaped", "out of range",
    "out of bounds", "not equal to kernel channels",
)  # fmt: skip
"""What kernels say of shapes and indices where they say no more than that they failed, as they do without memory."""

_forks = 0  # between the first process and this one
_FATAL = 4  # ONNX Runtime's own messages: an error reaches the caller as an exception, and is not printed as well


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class OnnxSession:
    """A loaded graph. `run` may be called from several threads, and not in a fork of the process that loaded it: the
    threads that compute are not there, and it would wait for them for ever."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._forks = _forks

    def run(self, feed: Feed) -> Scored:
        """Raises FeedError when the graph does not take such a batch, TidemillError when it fails, and in a fork."""
        if self._forks != _forks:
            raise TidemillError(
                "the model was loaded before this process was forked, and does not run here",
                "load it in this process, or start processes by spawn",
            )
        try:
            scores, embedding = self._session.run(["scores", "embedding"], dict(feed))
        except Exception as error:  # the classes of ONNX Runtime's exceptions have no common base of their own
            kind = FeedError if _misfits(str(error)) else TidemillError
            raise kind(
                f"the model failed on this batch: {first_line(error)}",
                "try a smaller batch, or export the model again",
            ) from None
        return Scored(np.asarray(scores, np.float32), np.asarray(embedding, np.float32))


class OnnxRuntime:
    """Loads model.onnx of an audited bundle, with the standard operators only."""

    @property
    def version(self) -> str:
        """The library's name and version."""
        return f"onnxruntime {ort.__version__}"

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> OnnxSession:
        """`threads` compute one request. Raises BundleError for a graph that cannot be loaded or was altered."""
        content = _content(directory / GRAPH, bundle)
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # ONNX Runtime guesses the format by bytes 4 to 7: an ONNX file may be made to look like one of its own format,
        # and then another graph is loaded than the one that was audited.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Threads that wait by spinning win microseconds and take the cores from everybody else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            return OnnxSession(ort.InferenceSession(content, options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # as above
            raise BundleError(
                f"{directory / GRAPH} cannot be loaded: {first_line(error)}", "export the model again"
            ) from None


def _misfits(said: str) -> bool:
    """Whether it is the given tensors that ONNX Runtime complains of."""
    return said.startswith(_INVALID_ARGUMENT) or any(words in said.lower() for words in _MISFITS)


def _content(path: Path, bundle: Bundle) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", "fetch the bundle anew") from None
    if Digest.of_bytes(content) != bundle.files[GRAPH].digest:
        raise BundleError(f"{path} was altered after it was opened", "fetch the bundle anew")
    return content


if TYPE_CHECKING:
    _runtime: Runtime = OnnxRuntime()
    _session: type[Session] = OnnxSession
