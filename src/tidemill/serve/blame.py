"""Whose fault it is that a request got no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.errors import BusyError, FeedError, GateError, InputError

if TYPE_CHECKING:
    from tidemill.serve.job import Given


def explained(error: Exception, given: Given) -> Exception:
    """Where the graph has no number for an input, or does not take the client's tensors, the request is wrong.

    Tensors that were made here of raw inputs are not the client's, and neither is whatever else may happen.
    """
    if isinstance(error, GateError):
        return InputError(error.headline, "the model has no answer for such an input: look at its values")
    if given.feed is not None and isinstance(error, FeedError):
        return InputError("the graph does not take these tensors", "look at their values: see /docs for what it takes")
    return error


def reason(error: Exception) -> str:
    """What a batch without results counts as: nobody waits for it, or its inputs or the model are to blame."""
    if isinstance(error, BusyError):
        return "client_gone"
    return "input" if isinstance(error, InputError) else "model"
