"""The endpoint behind this one: its connections, its failures in the shape of OpenAI's errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import httpx

from fama.models.connect import is_local
from fama.serving.faults import Fault, upstream_failed, upstream_odd, upstream_timeout
from fama.serving.request import Headers, end_to_end, upstream_headers
from fama.serving.settings import ServeSettings

#: Seconds to open a connection.
_CONNECT = 10.0
#: Seconds for which an idle connection is used again: servers close theirs after 5 and more.
_KEPT = 2.0
#: Clients that take turns: for each request a client looks at all of its connections.
_CLIENTS = 16
#: Headers that httpx would add by itself; the client's own go upstream.
_ADDED = ("user-agent", "accept", "accept-encoding", "connection")


class Upstream:
    """Sends requests on; ``close`` it at the end."""

    def __init__(
        self, settings: ServeSettings, key: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        limits = settings.limits
        self._base, self._key, self._limit = settings.upstream, key, limits.reply_bytes
        self._seconds = limits.upstream_seconds
        trust_env = not is_local(settings.upstream)
        verified = httpx.create_ssl_context(trust_env=trust_env)
        self._clients = [
            httpx.AsyncClient(
                timeout=httpx.Timeout(limits.upstream_seconds, connect=min(_CONNECT, limits.upstream_seconds)),
                limits=httpx.Limits(
                    max_connections=limits.in_flight + 8,
                    max_keepalive_connections=limits.in_flight,
                    keepalive_expiry=_KEPT,
                ),
                trust_env=trust_env,
                verify=verified,
                follow_redirects=False,
                transport=transport,
            )
            for _ in range(1 if transport else _CLIENTS)
        ]
        for client in self._clients:
            for name in _ADDED:
                client.headers.pop(name, None)
        self._turns = cycle(self._clients)

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Headers, body: bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Yield the upstream's answer with its body unread.

        Raises:
            Fault: 504 when it is silent, 502 when it cannot be asked, breaks off, or has an unknown status.
        """
        passed = upstream_headers(headers, self._key)
        client = next(self._turns)
        try:
            request = client.build_request(method, f"{self._base}{path}", content=body, headers=passed)
            response = await client.send(request, stream=True)
            try:
                if response.status_code >= 600:
                    raise upstream_odd(response.status_code)
                yield response
            finally:
                await response.aclose()
        except httpx.TimeoutException:
            raise upstream_timeout(self._seconds) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise upstream_failed(error) from None

    async def read(self, response: httpx.Response) -> bytes:
        """Return the whole body, unpacked.

        Raises:
            Fault: 502 when it is larger than the limit.
        """
        pieces: list[bytes] = []
        size = 0
        async for piece in response.aiter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > self._limit:
                raise Fault(502, "upstream_too_large", f"the upstream's reply is larger than {self._limit} bytes")
        return b"".join(pieces)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(client.aclose() for client in self._clients))


def reply_headers(response: httpx.Response, unpacked: bool) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers for the client; ``unpacked`` when the body is passed on without its packing."""
    kept = [(name, value) for name, value in end_to_end(response.headers.raw) if not name.startswith(b"x-fama-")]
    return [(name, value) for name, value in kept if not (unpacked and name == b"content-encoding")]
