"""The endpoint behind this one: requests to it, and its failures in the shape of OpenAI's errors."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp

from fama.serving.connections import CheckedConnector, breaking_off, certificates, proxy_for
from fama.serving.faults import Fault, upstream_elsewhere, upstream_failed, upstream_odd, upstream_timeout
from fama.serving.request import Headers, end_to_end, upstream_headers
from fama.serving.settings import ServeSettings

#: Seconds to open a connection.
_CONNECT = 10.0
#: Seconds for which an idle connection is used again: servers close theirs after 5 and more.
_KEPT = 2.0
#: Bytes of one header of a reply, and of the line with its status.
_HEADER = 100 * 1024
#: Headers that aiohttp would add by itself; the client's own go upstream.
_ADDED = ("user-agent", "accept", "accept-encoding", "content-type")
#: A client that follows one of them goes past this server.
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
#: Packings that can be taken off; others are passed on. The upstream is asked for none.
_PACKINGS = frozenset(("gzip", "x-gzip", "deflate"))
#: Bytes that one step of unpacking may give.
_STEP = 2**20


class Upstream:
    """Sends requests on, within an ``async with`` block."""

    def __init__(self, settings: ServeSettings, key: str | None = None) -> None:
        """Take the settings.

        Raises:
            BadInput: the environment names a proxy or certificates that cannot be used.
        """
        self._base, self._key, self._limits = settings.upstream, key, settings.limits
        self._seconds = settings.limits.upstream_seconds
        self._proxy, self._verified_by = proxy_for(settings.upstream), certificates(settings.upstream)

    async def __aenter__(self) -> Self:
        connector = CheckedConnector(limit=self._limits.in_flight + 8, keepalive_timeout=_KEPT, ssl=self._verified_by)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
            proxy=self._proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ADDED,
            auto_decompress=False,
            max_line_size=_HEADER,
            max_field_size=_HEADER,
        )
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._session.close()

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Headers, body: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the upstream's answer with its body unread.

        Raises:
            Fault: 504 when it is silent, 502 when it cannot be asked, breaks off, has an unknown status, or redirects.
        """
        passed = [(name.decode(), _text(value)) for name, value in upstream_headers(headers, self._key)]
        url = f"{self._base}{path}"
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._session.request(method, url, data=body, headers=passed, allow_redirects=False)
            try:
                if not 200 <= response.status < 600:
                    raise upstream_odd(response.status)
                if response.status in _REDIRECTS:
                    raise upstream_elsewhere(response.status, _place(response))
                with breaking_off(response):
                    yield response
            finally:
                response.close()
        except aiohttp.ConnectionTimeoutError as error:  # a TimeoutError, too
            raise upstream_failed(error) from None
        except TimeoutError:
            raise upstream_timeout(self._seconds) from None
        except aiohttp.ClientError as error:
            raise upstream_failed(error) from None

    async def read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the whole body, unpacked.

        Raises:
            Fault: 502 when it is larger than the limit.
            TimeoutError: the upstream fell silent.
            aiohttp.ClientError: it broke off.
        """
        found: list[bytes] = []
        size, most = 0, self._limits.reply_bytes
        async for piece in self.pieces(response, unpacked=True):
            found.append(piece)
            size += len(piece)
            if size > most:
                raise Fault(502, "upstream_too_large", f"the upstream's reply is larger than {most} bytes")
        return b"".join(found)

    async def pieces(self, response: aiohttp.ClientResponse, unpacked: bool) -> AsyncIterator[bytes]:
        """Yield the body as it comes; ``unpacked`` without its packing, where that is known.

        Raises:
            TimeoutError: the upstream fell silent.
            aiohttp.ClientError: it broke off, or its packing is broken.
        """
        unpacker = _Unpacker(_packing(response)) if unpacked and _packing(response) else None
        while True:
            async with asyncio.timeout(self._seconds):
                piece = await response.content.readany()
            if not piece:
                return
            for part in (piece,) if unpacker is None else unpacker.feed(piece):
                yield part


class _Unpacker:
    """Takes the packing off a body."""

    def __init__(self, packing: str) -> None:
        self._packing = packing
        self._inner: zlib._Decompress | None = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what one more piece gives, a step at a time.

        Raises:
            aiohttp.ClientError: it cannot be unpacked.
        """
        if self._inner is None:  # some servers send deflate without its header
            bare = self._packing == "deflate" and piece[0] & 15 != zlib.DEFLATED
            self._inner = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        try:
            while piece:
                yield self._inner.decompress(piece, _STEP)
                piece = self._inner.unconsumed_tail
        except zlib.error as error:
            raise aiohttp.ClientPayloadError(str(error)) from None


def reply_headers(response: aiohttp.ClientResponse, unpacked: bool) -> list[tuple[bytes, bytes]]:
    """Return the upstream's headers for the client; ``unpacked`` when the body is passed on without its packing."""
    kept = [(name, value) for name, value in end_to_end(response.raw_headers) if not name.startswith(b"x-fama-")]
    if not unpacked or not _packing(response):
        return kept
    return [(name, value) for name, value in kept if name != b"content-encoding"]


def _place(response: aiohttp.ClientResponse) -> str:
    """Return where a redirect leads, without a query, which may hold a key."""
    return response.headers.get("location", "").partition("?")[0][:200]


def is_success(response: aiohttp.ClientResponse) -> bool:
    """Return whether the status is one of success."""
    return 200 <= response.status < 300


def _packing(response: aiohttp.ClientResponse) -> str:
    """Return the packing of a body that can be taken off; empty without one."""
    named = response.headers.get("content-encoding", "").strip().lower()
    return named if named in _PACKINGS else ""


def _text(value: bytes) -> str:
    """Return a header's value, which goes upstream in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
