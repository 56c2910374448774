"""An address that is recorded and shown says where, and no secret."""

from __future__ import annotations

import pytest

from tidemill.domain.address import bare_address


@pytest.mark.parametrize(
    ("uri", "bare"),
    [
        ("", ""),
        ("http://mlflow.example:5000/", "http://mlflow.example:5000"),
        ("https://me:hid@mlflow.example/base", "https://mlflow.example/base"),
        ("https://t0ken@mlflow.example", "https://mlflow.example"),
        ("postgresql+psycopg://me:hi@d@db.example:5433/runs", "postgresql://me@db.example:5433/runs"),
        ("postgres://me@[::1]/runs?sslmode=require&password=hid", "postgresql://me@[::1]/runs?sslmode=require"),
        ("databricks", "databricks"),
        ("sqlite:////data/runs.db", "sqlite:////data/runs.db"),
    ],
)
def test_no_secret_is_left(uri: str, bare: str) -> None:
    assert bare_address(uri) == bare
    assert bare_address(bare) == bare
