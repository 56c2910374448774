"""Where a tracking server is, in a form that may be recorded and shown."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

_SECRET = ("password", "passwd", "pwd", "token", "secret")


def bare_address(uri: str) -> str:
    """A tracking URI without password, driver and final slash: the same for all ways to reach one store as one user.

    Of an HTTP server the user goes as well, for it is often a token. Empty for an empty one.
    """
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    user, _, host = parts.netloc.rpartition("@")
    user = "" if scheme in ("http", "https") else user.partition(":")[0]
    asked = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(key, value) for key, value in asked if not any(word in key.lower() for word in _SECRET)])
    if not scheme:
        return uri
    scheme = {"postgres": "postgresql"}.get(scheme, scheme)
    where = f"{scheme}://{user}@{host}" if user else f"{scheme}://{host}"
    return f"{where}{parts.path.rstrip('/')}{f'?{query}' if query else ''}"
