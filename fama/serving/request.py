"""Reading of a client's request within limits, before anything is done with it."""

import asyncio
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

from fama.annotate.guard import is_own
from fama.serving.faults import Fault
from fama.serving.settings import ServeLimits

Headers = Iterable[tuple[bytes, bytes]]
#: Headers that belong to one connection or to this server, and never go to the other side.
_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade content-length".split()
)
#: Headers of a request that stay here: this server states its own.
_OWN = frozenset(b"host accept-encoding expect cookie forwarded x-fama-key".split())
_KEY_HEADER = b"x-fama-key"


def check_access(headers: Mapping[bytes, bytes], key: str | None) -> None:
    """Refuse who lacks the key; without a key, who speaks through a web page elsewhere.

    Raises:
        Fault: 401, or 403.
    """
    if key is None:
        if not is_own(headers):
            raise Fault(
                403, "foreign_host", "this server answers to its own machine; start it with --key-env for others"
            )
        return
    bearer = headers.get(b"authorization", b"")
    given = bearer[7:].strip() if bearer[:7].lower() == b"bearer " else b""
    if not any(hmac.compare_digest(one, key.encode()) for one in (given, headers.get(_KEY_HEADER, b""))):
        raise Fault(401, "invalid_api_key", "a key is needed: Authorization: Bearer KEY, or x-fama-key: KEY")


def check_form(headers: Mapping[bytes, bytes], limits: ServeLimits) -> None:
    """Refuse a body that is no JSON by its own words, or too large by them.

    A web page cannot send ``application/json`` elsewhere without asking first, which this server does not allow.

    Raises:
        Fault: 413 or 415.
    """
    media = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if media != b"application/json":
        raise Fault(415, "unsupported_media_type", "send the request as content-type: application/json")
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise Fault(415, "unsupported_encoding", "send the request's body without a content-encoding")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limits.body_bytes:
        raise _too_large(limits)


async def read_body(receive: Any, limits: ServeLimits) -> bytes:
    """Return the body of a request.

    Raises:
        Fault: 408 when the client is too slow, 413 when it sends too much.
        ClientGone: the client has gone.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.client_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limits.body_bytes:
                    raise _too_large(limits)
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        text = f"the request's body took more than {limits.client_seconds:g} seconds"
        raise Fault(408, "slow_client", text, {"connection": "close"}) from None


class ClientGone(Exception):  # noqa: N818 - no error: nobody waits for an answer
    """The client closed the connection."""


def upstream_headers(headers: Headers, upstream_key: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers that go upstream: the client's, less those of its connection to this server."""
    passed = [(name, value) for name, value in end_to_end(headers) if name not in _OWN and not _is_forward(name)]
    passed.append((b"accept-encoding", b"identity"))
    if upstream_key is not None:
        passed = [(name, value) for name, value in passed if name != b"authorization"]
        passed.append((b"authorization", b"Bearer " + upstream_key.encode()))
    return passed


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers with lower-case names, less those that belong to one connection."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in lowered if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP and name not in named - {b"authorization"}]


def _is_forward(name: bytes) -> bool:
    return name.startswith((b"x-forwarded-", b"proxy-"))


def _too_large(limits: ServeLimits) -> Fault:
    text = f"the body is larger than {limits.body_bytes} bytes"
    return Fault(413, "body_too_large", text, {"connection": "close"})
