"""The application: its routes, and what lives as long as it does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fama import __version__
from fama.serving.chat import Adviser, ChatEndpoint
from fama.serving.counters import Metrics
from fama.serving.faults import Fault
from fama.serving.recording.recorder import ConversationRecorder
from fama.serving.request import check_access
from fama.serving.settings import ServeSettings
from fama.serving.upstream import Upstream, reply_headers


def build_app(
    settings: ServeSettings,
    adviser: Adviser,
    *,
    key: str | None = None,
    upstream_key: str | None = None,
    metrics: Metrics | None = None,
    recorder: ConversationRecorder | None = None,
) -> Starlette:
    """Return the application.

    Raises:
        BadInput: the environment names a proxy or certificates that the upstream cannot be asked with.
    """
    counters = metrics or Metrics()
    upstream = Upstream(settings, upstream_key)

    async def models(request: Request) -> Response:
        check_access(dict(request.scope["headers"]), key)
        async with upstream.ask("GET", "/models", request.scope["headers"]) as answer:
            response = Response(await upstream.read(answer), answer.status)
        kept = reply_headers(answer, unpacked=True)
        response.raw_headers = [*kept, (b"content-length", str(len(response.body)).encode())]
        return response

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def measured(request: Request) -> Response:
        check_access(dict(request.scope["headers"]), key)
        return Response(counters.text(), media_type=counters.media_type)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with upstream, recorder.sweeping() if recorder is not None else _nothing():
            yield

    chat = ChatEndpoint(settings, adviser, upstream, counters, recorder, key)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/metrics", measured, methods=["GET"]),
        ],
        exception_handlers={Fault: _fault, HTTPException: _unknown_path},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


async def _fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)  # noqa: S101 - the handler is registered for it
    return Response(error.body(), error.status, error.headers, "application/json")


async def _unknown_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for it
    asked = f"{request.method} {request.url.path}"[:80]
    words = f"{asked} is not served; known: POST /v1/chat/completions, GET /v1/models, /health, /metrics"
    fault = Fault(error.status_code, "not_found" if error.status_code == 404 else "not_allowed", words)
    return Response(fault.body(), fault.status, error.headers, "application/json")
