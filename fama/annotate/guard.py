"""Protection of the annotation page: only this machine's own page may talk to it, and it may load nothing else."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fama.models.servers.loopback import LOOPBACK

#: NiceGUI builds its components in the browser, from inline scripts: it needs both kinds of unsafe. Text of
#: episodes never becomes markup (labels only); should it, no address outside could be asked or told anything.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

Scope = MutableMapping[str, Any]
AsgiSend = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Any, AsgiSend], Awaitable[None]]


class Guard:
    """ASGI middleware that refuses foreign hosts and origins (403), adds the headers to every answer.

    A web page elsewhere could otherwise read and write labels through the browser of whoever labels: by a name of its
    own that it points to this machine (DNS rebinding), or by a socket, which browsers open across origins.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: AsgiSend) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not is_own(dict(scope["headers"])):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await send({"type": "http.response.start", "status": 403, "headers": list(HEADERS)})
                await send({"type": "http.response.body", "body": b"not from this machine's own page"})
            return

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self._app(scope, receive, guarded)


def is_own(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request names this machine as its host and, where it names an origin, that very host."""
    host = headers.get(b"host", b"").decode("latin-1")
    origin = headers.get(b"origin")
    try:
        if urlsplit(f"//{host}").hostname not in LOOPBACK:
            return False
    except ValueError:
        return False
    return origin is None or origin.decode("latin-1") == f"http://{host}"
