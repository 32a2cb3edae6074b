"""Servers on ephemeral ports for tests of the endpoint: a scripted upstream, and the endpoint in front of it."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fama.advising.advisor import Advisor
from fama.helpers.base import HELPERS
from fama.serving.app import build_app
from fama.serving.chat import Adviser
from fama.serving.counters import Metrics
from fama.serving.recording.recorder import ConversationRecorder
from fama.serving.server import server_of
from fama.serving.settings import ServeSettings
from fama.settings import HelperSettings
from tests.support.toy_world import alpha

Tree = dict[str, Any]


def completion(content: str | None = "Fine.", **message: Any) -> Tree:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
    return {
        **{"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage},
        "x_server": {"kept": [1, 2.50]},
    }


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    tree = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(tree).encode() + b"\n\n"


def spoken(*pieces: str) -> list[bytes]:
    """A streamed reply of words."""
    return [chunk(role="assistant", content=""), *(chunk(content=p) for p in pieces), chunk(finish="stop"), DONE]


DONE = b"data: [DONE]\n\n"


class ScriptedUpstream:
    """Answers each chat request as ``answer`` says: a tree, bytes of a stream with pauses, or a whole response."""

    def __init__(self) -> None:
        self.asked: list[Tree] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[Tree], Any] = lambda asked: completion()
        self.delay = 0.0
        self.cut = threading.Event()
        self.began = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
            ]
        )

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "m", "object": "model"}]}, headers={"x-seen": "yes"})

    async def _chat(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.asked.append(json.loads(self.bodies[-1]))
        self.headers.append(dict(request.headers))
        self.began.set()
        for _ in range(round(self.delay / 0.01)):
            await asyncio.sleep(0.01)
            if await request.is_disconnected():
                self.cut.set()
                return Response()
        found = self.answer(self.asked[-1])
        if isinstance(found, Response):
            return found
        if isinstance(found, list):
            return StreamingResponse(self._pieces(found), media_type="text/event-stream")
        return JSONResponse(found, headers={"x-request-id": "req-1"})

    async def _pieces(self, script: list[Any]) -> AsyncIterator[bytes]:
        try:
            for piece in script:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    yield piece
        except asyncio.CancelledError:
            self.cut.set()
            raise


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread; yield its address without a path."""
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive() and time.monotonic() < until
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def plain(app: Starlette) -> Iterator[str]:
    with running(uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, log_level="error"))) as address:
        yield address


@dataclass
class Endpoint:
    """The endpoint under test."""

    address: str
    metrics: Metrics
    server: uvicorn.Server

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"

    def count(self, name: str) -> float:
        """Sum of a counter over its labels."""
        lines = self.metrics.text().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def speaking(**more: Any) -> Advisor:
    """An advisor of the toy helper Alpha, who always speaks; it loads no encoder."""
    HELPERS.add("Alpha", alpha)
    try:
        return Advisor("all", helpers=HelperSettings(pool=("Alpha",), reading="patterns"), **more)
    finally:
        HELPERS.remove("Alpha")


@contextmanager
def endpoint(
    upstream: str, adviser: Adviser, key: str | None = None, upstream_key: str | None = None, **settings: Any
) -> Iterator[Endpoint]:
    """The endpoint before an upstream's address."""
    wanted = ServeSettings.model_validate({"router": "all", "upstream": f"{upstream}/v1", "port": 0, **settings})
    metrics = Metrics()
    folder = wanted.record.folder
    recorder = ConversationRecorder(wanted.record, folder, "all", metrics) if folder is not None else None
    app = build_app(wanted, adviser, key=key, upstream_key=upstream_key, metrics=metrics, recorder=recorder)
    server = server_of(app, wanted)
    with running(server) as address:
        yield Endpoint(address, metrics, server)
