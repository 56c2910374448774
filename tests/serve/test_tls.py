"""HTTPS, with a certificate made here."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tidemill.errors import ConfigError
from tidemill.serve.tls import Tls, read_tls

from .bundles import ROW


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    folder = tmp_path_factory.mktemp("tls")
    found = Tls(folder / "server.pem", folder / "server.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", str(found.key), "-out", str(found.certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_answers_over_https_and_not_over_http(made: Path, tmp_path: Path, pair: Tls, workers: str) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", str(made / "tab"), "--port", "0", "--workers", workers]
    command += ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            port = int(ready.split("://127.0.0.1:")[1].split()[0])
            trusted = ssl.create_default_context(cafile=str(pair.certificate))
            url = f"https://localhost:{port}/v1/models/sizes:predict"
            answers = [httpx.post(url + more, json={"inputs": [ROW]}, verify=trusted) for more in ("", "?x")]
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://localhost:{port}/v2")
            with socket.create_connection(("127.0.0.1", port)):  # one who never shakes hands disturbs nobody
                answers.append(httpx.post(url, json={"inputs": [ROW]}, verify=trusted))
        finally:
            process.send_signal(signal.SIGTERM)

    assert "https://127.0.0.1:" in ready
    assert [each.status_code for each in answers] == [200, 200, 200]
    assert process.returncode == 0


def test_files_that_do_not_fit_are_said_before_anything_starts(tmp_path: Path, pair: Tls) -> None:
    (tmp_path / "other.key").write_text("no key")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "rsa", "-aes256", "-passout", "pass:word", "-in", str(pair.key), "-out", str(locked)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    for certificate, key, said in (
        (pair.certificate, None, "without --tls-key"),
        (None, pair.key, "without --tls-cert"),
        (tmp_path / "absent.pem", pair.key, "cannot be read"),
        (pair.certificate, tmp_path / "other.key", "no certificate with its key"),
        (pair.certificate, locked, "the key has a password"),
        (pair.key, pair.certificate, "no certificate with its key, in this order"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_tls(certificate, key)
    assert read_tls(None, None) is None
    assert read_tls(pair.certificate, pair.key) == pair
