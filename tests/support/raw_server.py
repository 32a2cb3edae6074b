"""A server that answers each request with scripted bytes, in the test's own event loop."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

#: Steps of an answer: bytes to send, seconds to wait, or the end of the connection, by a reset in place of a close.
CLOSE, RESET = "close", "reset"
Step = bytes | float | str
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@dataclass
class RawServer:
    """A server that remembers requests and their connections."""

    script: list[Sequence[Step]]
    """The answers in turn; the last one is given again."""
    reads: bool = True
    """False leaves the body of a request in the connection until the answer is given, then takes what still comes."""
    taken: int = 0
    address: str = ""
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        self.lost.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.reads:
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
        for step in self.script[min(len(self.heads), len(self.script)) - 1]:
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                if step == RESET:
                    connection = writer.get_extra_info("socket")
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        while not self.reads and (piece := await reader.read(2**16)):
            self.taken += len(piece)
        return self.reads


def sized(body: bytes, *headers: bytes) -> bytes:
    """A whole answer with its length."""
    return HEAD + b"".join(header + b"\r\n" for header in headers) + b"content-length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def raw_server(
    *script: Sequence[Step], host: str = "127.0.0.1", context: ssl.SSLContext | None = None, reads: bool = True
) -> AsyncIterator[RawServer]:
    one = RawServer(list(script), reads)
    server = await asyncio.start_server(one.serve, host, 0, ssl=context, limit=2**16)
    port = server.sockets[0].getsockname()[1]
    one.address = f"{'https' if context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        yield one
    finally:
        server.close()
