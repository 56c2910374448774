"""A light look at the aliases that a tracking server knows: its REST API, by the standard library alone."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from tidemill.project.registry import ALIASES

if TYPE_CHECKING:
    from tidemill.project.glancing import Aliases

_SECONDS = 10


class _Stay(HTTPRedirectHandler):
    """Credentials go to the server that the user named, and to no other."""

    def redirect_request(self, *given: Any) -> None:
        return None


class HttpGlance:
    """A tracking server, asked with the user name, password or token that MLflow's own client would send."""

    patience = 3.0

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._headers = _credentials(unquote(parts.username or ""), unquote(parts.password or ""))
        place = parts.netloc.rpartition("@")[2]
        self._address = f"{parts.scheme}://{place}{parts.path.rstrip('/')}/api/2.0/mlflow/registered-models/get?name="
        self._opener = build_opener(_Stay, HTTPSHandler(context=_context()))

    def look(self, names: Sequence[str]) -> Aliases:
        return {name: self._of(name) for name in names}

    def _of(self, name: str) -> Mapping[str, int]:
        request = Request(self._address + quote(name), headers=self._headers)  # noqa: S310 - http and https only, see glance_of
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                found = json.loads(answer.read(1 << 22))["registered_model"].get("aliases", [])
        except HTTPError as error:
            if error.code == 404:
                return {}
            raise
        return {each["alias"]: int(each["version"]) for each in found if each["alias"] in ALIASES}

    def close(self) -> None:
        """Each look has a connection of its own."""


def _credentials(user: str, password: str) -> dict[str, str]:
    user, password = (
        os.environ.get("MLFLOW_TRACKING_USERNAME") or user, os.environ.get("MLFLOW_TRACKING_PASSWORD") or password
    )  # fmt: skip
    if user:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _context() -> ssl.SSLContext:
    """As MLflow reads its variables: who switched the check off for the client has done so here."""
    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
