"""One JSON answer on an ASGI connection, without an object for the request or the response."""

from __future__ import annotations

from starlette.types import Send

JSON = b"application/json"


async def send_json(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), kind: bytes = JSON
) -> None:
    """Send `body` with its length and content type, and `headers` beside them."""
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})
