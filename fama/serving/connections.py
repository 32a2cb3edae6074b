"""Connections to the upstream: by which proxy, verified by what, and which of them is used again."""

import select
import ssl
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from aiohttp.connector import Connection

from fama.errors import BadInput
from fama.models.connect import is_local, unreadable_certificates


class CheckedConnector(aiohttp.TCPConnector):
    """Takes no kept connection that the server has closed, or on which it spoke without being asked.

    aiohttp takes what came for the answer to the next request, which may be another client's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asked: WeakSet[object] = WeakSet()

    async def connect(self, *args: Any, **named: Any) -> Connection:
        """Return a kept connection, or a new one."""
        while True:
            connection = await super().connect(*args, **named)
            protocol, transport = connection.protocol, connection.transport
            if protocol is None or transport is None or (closed := protocol.closed) is None:
                return connection  # it was lost; who uses it is told
            if protocol not in self._asked:
                self._asked.add(protocol)
                closed.add_done_callback(lambda done: done.exception())  # else an end that nobody waits for is logged
            elif protocol.should_close or _is_readable(transport):
                connection.close()
                continue
            connection.add_callback(partial(_drop_unsent, transport))
            return connection


def _is_readable(transport: Transport) -> bool:
    """Return whether bytes or the end wait in a connection; where the system cannot say, that none does."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _drop_unsent(transport: Transport) -> None:
    """Let nothing that a server does not take keep its connection, once nobody waits for an answer."""
    if transport.get_write_buffer_size():
        transport.abort()


@contextmanager
def breaking_off(response: aiohttp.ClientResponse) -> Iterator[None]:
    """Break off a body that is being read when its connection is closed.

    aiohttp closes a connection whose chunks are broken, and leaves who reads without a word of it.
    """
    connection, content = response.connection, response.content
    protocol = None if connection is None else connection.protocol
    closed = None if protocol is None else protocol.closed
    if closed is None:  # the body is there
        yield
        return

    def tell(_: object) -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))

    closed.add_done_callback(tell)
    try:
        yield
    finally:
        closed.remove_done_callback(tell)


def certificates(address: str) -> ssl.SSLContext | bool:
    """Return what a server's certificate is verified by: the same as for models.

    Raises:
        BadInput: the environment names certificates that cannot be read.
    """
    if urlsplit(address).scheme != "https":
        return True
    import httpx

    try:
        context = httpx.create_ssl_context(trust_env=not is_local(address))
    except OSError as error:
        raise unreadable_certificates(address, error) from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def proxy_for(address: str) -> str | None:
    """Return the proxy that the environment names for an address; none leads to this machine itself.

    Raises:
        BadInput: the proxy does not speak HTTP.
    """
    parts, named = urlsplit(address), getproxies()
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or is_local(address) or proxy_bypass(parts.netloc) or proxy_bypass(parts.hostname or ""):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise BadInput(
            f"upstream {address}: the environment's proxy does not speak HTTP; name another, or the host in NO_PROXY"
        )
    return proxy
