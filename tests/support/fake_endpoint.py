"""A small OpenAI-compatible server on loopback that answers as a test wants."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fama.models.base import ChatRequest
from fama.models.client import Flavour, OpenAIChat

Answer = tuple[int, Any]


@dataclass(frozen=True)
class Broken:
    """A body whose connection breaks after these bytes; reset at once when there are none."""

    sent: bytes = b""


class Endpoint:
    """A server that gives the queued answers, the last one again and again, and keeps what it was asked.

    ``answer`` computes them instead, from the request's body.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, Any]], Answer] | None = None
        self.owner = "someone"
        self.not_ready: list[int] = []
        """Statuses of the first answers to who asks for the models."""
        self.delay = 0.0
        self.more_headers: dict[str, str] = {}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if endpoint.not_ready:
                    return self.send(endpoint.not_ready.pop(0), {"error": {"message": "Loading model"}})
                if endpoint.owner == "locked":
                    return self.send(401, {"error": "key"})
                return self.send(200, {"data": [{"id": "served", "owned_by": endpoint.owner}]})

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                asked = json.loads(self.rfile.read(length))
                endpoint.asked.append(asked)
                endpoint.headers.append({key.lower(): value for key, value in self.headers.items()})
                time.sleep(endpoint.delay)
                if endpoint.answer is not None:
                    return self.send(*endpoint.answer(asked))
                status, tree = endpoint.answers.pop(0) if len(endpoint.answers) > 1 else endpoint.answers[0]
                self.send(status, tree)

            def send(self, status: int, tree: Any) -> None:
                if isinstance(tree, Broken):
                    return self.break_off(status, tree)
                body = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                for name, value in endpoint.more_headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    return  # the client gave up, as a test wants

            def break_off(self, status: int, broken: Broken) -> None:
                self.close_connection = True
                if broken.sent:
                    self.send_response(status)
                    self.send_header("content-length", str(2 * len(broken.sent)))
                    self.end_headers()
                    self.wfile.write(broken.sent)
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_WR)
                    return
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()  # with no time to linger: the client sees a reset

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def said(content: str | None, **more: Any) -> Answer:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    tree = {"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "message": message}], **more}
    return 200, tree


def chat_client(endpoint: Endpoint, flavour: Flavour = "llama.cpp", **more: Any) -> OpenAIChat:
    """A client of the endpoint that is quick to try again."""
    options: dict[str, Any] = {"retries": 2, "backoff": 0.01, "timeout": 10.0, "trust_env": False, **more}
    return OpenAIChat("m", endpoint.base_url, flavour=flavour, **options)


def chat_request(**more: Any) -> ChatRequest:
    """A request of one word."""
    return ChatRequest(messages=({"role": "user", "content": "hi"},), role="helper:TSA", **more)
