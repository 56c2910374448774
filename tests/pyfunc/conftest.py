"""Where bundles outside of any project are known from: not the home of whoever tests."""

from __future__ import annotations

from tests.predict.conftest import _proofs

__all__ = ["_proofs"]
