"""The server process: uvicorn with a bound on slow headers, started and stopped around the application."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette

from fama.advising.advisor import Advisor
from fama.advising.arguments import checkpoint_of
from fama.agents.runs.run_config import ROUTE
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.redaction.api_keys import know_variable
from fama.selection.base import SELECTORS
from fama.selection.router.checkpoint_files import MANIFEST, read_regular
from fama.serving.app import build_app
from fama.serving.counters import Metrics
from fama.serving.recording.recorder import ConversationRecorder
from fama.serving.settings import ServeLimits, ServeSettings

#: Seconds that an idle connection is kept.
_KEEP_ALIVE = 30
#: Seconds that a thread keeps the interpreter while the other one waits for it.
_SWITCH_SECONDS = 0.0005
#: Objects that may come up before the garbage collector looks through the young ones, and its rounds before the older:
#: a request leaves few cycles, and Python's own 700 takes some 7 % of its time.
_COLLECT_AFTER = (20_000, 20, 50)
_SHORTEST_KEY = 16


def serve_endpoint(settings: ServeSettings, listening: Callable[[int], None] = lambda port: None) -> None:
    """Serve until interrupted; requests under way are finished, open conversations written.

    ``listening`` is told the port as soon as requests are taken.

    Raises:
        BadInput: a key is missing, the router does not load, the folder of records is taken, or the port is.
    """
    key = read_key(settings.key_env, "--key-env")
    upstream_key = read_key(settings.upstream_key_env, "upstream_key_env", shortest=1)
    metrics = Metrics()
    with advisor_of(settings) as advisor:
        recorder = None
        if settings.record.folder is not None:
            arm, hashed = arm_of(settings), advice_hash(settings)
            recorder = ConversationRecorder(settings.record, settings.record.folder, arm, metrics, config_hash=hashed)
        app = build_app(settings, advisor, key=key, upstream_key=upstream_key, metrics=metrics, recorder=recorder)
        server = server_of(app, settings, listening)
        _hurry()
        try:
            server.run()
        except SystemExit:  # uvicorn's way to say that it could not start
            raise BadInput(f"{settings.host}:{settings.port}: cannot be listened on; give another --port") from None


def _hurry() -> None:
    """Let requests wait less for this process itself: for its other thread, and for its garbage collector.

    Advice that takes long is computed in the advisor's thread; where both threads have work, each waits for the other's
    switch interval (5 ms by default) whenever it needs the interpreter. What was loaded at the start lives to the end:
    the collector need not look through it again and again, and through what requests leave less often.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def advisor_of(settings: ServeSettings) -> Advisor:
    """Return the advisor that the settings ask for.

    Raises:
        BadInput: something is unknown, does not fit the router, or needs a model and none is given.
    """
    return Advisor(
        settings.router,
        options=settings.options,
        helpers=settings.helpers,
        model=settings.model,
        cadence=settings.cadence,
        placement=settings.placement,
        prefill=settings.prefill,
        price=settings.price,
        budget=settings.budget,
        seed=settings.seed,
        sessions=settings.sessions,
        benchmark=settings.benchmark,
        domain=settings.domain,
    )


def arm_of(settings: ServeSettings) -> str:
    """Return the selector's name as episodes give it."""
    return settings.router if settings.router in SELECTORS.names() else "learned"


def advice_hash(settings: ServeSettings) -> str:
    """Return the hash of what shapes advice, the ``config_hash`` of records.

    A checkpoint's manifest stands for its files, whose hashes it holds.
    """
    shaping = {"helpers", "cadence", "placement", "prefill", "price", "budget", "seed", "benchmark", "domain"}
    tree = settings.model_dump(mode="json", include=shaping | ({"options"} if settings.options else set()))
    folder = checkpoint_of(settings.router)
    router = None if folder is None else read_regular(folder, MANIFEST).decode("utf-8", "replace")
    model = None if settings.model is None else settings.model.model_dump(mode="json", exclude=set(ROUTE))
    return content_hash([tree, arm_of(settings), router, model])


def read_key(variable: str | None, place: str, shortest: int = _SHORTEST_KEY) -> str | None:
    """Return the key in an environment variable, redacted from now on; None when none is named.

    Raises:
        BadInput: it is missing, short, or holds what no header can.
    """
    if variable is None:
        return None
    know_variable(variable)
    key = os.environ.get(variable, "")
    if len(key) < shortest:
        raise BadInput(f"{place}: {variable} holds no key of at least {shortest} characters; set it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise BadInput(f"{place}: {variable} holds characters that no header can; set another key")
    return key


class _TellingServer(uvicorn.Server):
    """Says on which port it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[int], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening(self.servers[0].sockets[0].getsockname()[1])


def server_of(
    app: Starlette, settings: ServeSettings, listening: Callable[[int], None] = lambda port: None
) -> uvicorn.Server:
    """Return the server of an application, not started; ``listening`` is told its port."""
    limits = settings.limits
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        ws="none",
        lifespan="on",
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=limits.stop_seconds,
        limit_concurrency=limits.connections + 1,  # uvicorn refuses the connection that reaches its limit
        h11_max_incomplete_event_size=limits.header_bytes,
    )
    config.load()
    config.http_protocol_class = _guarded(config.http_protocol_class, limits)
    return _TellingServer(config, listening)


class _AnyLength(int):
    """The length of a body that ends with its connection: nothing is longer, nothing is missing."""

    def __lt__(self, other: int) -> bool:
        return False

    def __sub__(self, other: int) -> "_AnyLength":
        return self


def _guarded(protocol: type[asyncio.Protocol], limits: ServeLimits) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with bounds on a request's headers; it sends no chunks by HTTP/1.0, which has none."""

    class Guarded(protocol):  # type: ignore[misc,valid-type]
        """Closes a connection whose headers, or whose body after its answer, take too long or are too large."""

        _timer: asyncio.TimerHandle | None = None
        _waiting_bytes = 0
        _in_body = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def on_headers_complete(self) -> None:  # httptools calls it
            super().on_headers_complete()
            self._in_body = True

        def on_message_complete(self) -> None:
            self._in_body = False
            super().on_message_complete()

        def data_received(self, data: bytes) -> None:
            in_body = self._in_body  # of a request that may have been answered already
            self._waiting_bytes = self._waiting_bytes + len(data) if self._is_waiting() else 0
            if self._is_waiting() and self._timer is None:
                self._watch()
            super().data_received(data)
            if self.cycle is not None and self.cycle.scope["http_version"] == "1.0":
                self.cycle.chunked_encoding, self.cycle.expected_content_length = False, _AnyLength()
            if not self._is_waiting():
                self._unwatch()
            elif in_body and not self._in_body:
                self._unwatch()
                self._watch()
            elif self._waiting_bytes > (limits.body_bytes if in_body else limits.header_bytes):
                self._give_up()

        def connection_lost(self, error: Exception | None) -> None:
            self._unwatch()
            super().connection_lost(error)

        def _is_waiting(self) -> bool:
            """Return whether no request's headers are complete."""
            return self.cycle is None or self.cycle.response_complete

        def _watch(self) -> None:
            self._timer = self.loop.call_later(limits.client_seconds, self._give_up)

        def _unwatch(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._waiting_bytes = None, 0

        def _give_up(self) -> None:
            self._unwatch()
            if self._is_waiting() and not self.transport.is_closing():
                self.transport.close()

    return Guarded
