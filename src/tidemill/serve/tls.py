"""The certificate that a server shows, looked at before it listens."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM: the certificate with those that signed it, and its key without a password."""

    certificate: Path
    key: Path


def read_tls(certificate: Path | None, key: Path | None) -> Tls | None:
    """The two files, if they fit each other; None without any. Raises ConfigError."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing, given = ("--tls-key", "--tls-cert") if key is None else ("--tls-cert", "--tls-key")
        raise ConfigError(f"{given} is given without {missing}", "give both, in PEM")
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", "check the path") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or ("" if isinstance(error, ssl.SSLError) else str(error))
        known = f": {reason.lower().replace('_', ' ')}" if reason else ", in this order"
        raise ConfigError(
            f"{certificate} and {key} are no certificate with its key{known}",
            "give both in PEM, the key without a password",
        ) from None
    return Tls(certificate, key)


def _no_password() -> str:
    raise ValueError("the key has a password")
