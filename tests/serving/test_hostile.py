"""Requests of hostile or broken clients, the key, and text that never reaches a log or the other side."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from fama.advising.advisor import Advisor
from fama.serving.body import parse_body
from fama.serving.events import EventSplitter
from fama.serving.faults import Fault
from fama.serving.settings import ServeLimits
from tests.support.serving import Endpoint, ScriptedUpstream, completion, endpoint, plain, speaking, spoken

KEY = "sk-planted-3f9c1e77aa"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}
LIMITS = {"body_bytes": 4096, "depth": 12, "messages": 20, "client_seconds": 0.4, "header_bytes": 8192}


@pytest.fixture(scope="module")
def advisor() -> Iterator[Advisor]:
    with speaking() as one:
        yield one


@pytest.fixture(scope="module")
def upstream() -> Iterator[tuple[ScriptedUpstream, str]]:
    up = ScriptedUpstream()
    with plain(up.app) as address:
        yield up, address


@pytest.fixture(scope="module")
def served(upstream: tuple[ScriptedUpstream, str], advisor: Advisor) -> Iterator[Endpoint]:
    with endpoint(upstream[1], advisor, limits=LIMITS) as one:
        yield one


def deep(levels: int) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"x"}],"a":' + b"[" * levels + b"]" * levels + b"}"


def test_one_connection_more_than_the_limit_is_answered_503(
    upstream: tuple[ScriptedUpstream, str], advisor: Advisor
) -> None:
    with endpoint(upstream[1], advisor, limits={"connections": 1, "in_flight": 1}) as one:
        with httpx.Client(trust_env=False) as first, httpx.Client(trust_env=False) as second:
            asked = [client.get(f"{one.address}/health").status_code for client in (first, second)]
            until = time.monotonic() + 5
            while first.get(f"{one.address}/health").status_code != 200:  # the other connection is still being closed
                assert time.monotonic() < until
    assert asked == [200, 503]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"messages": NaN}', 400, "invalid_json"),
        (b'{"messages": "x"}', 400, "invalid_messages"),
        (b'{"messages": []}', 400, "invalid_messages"),
        (b'{"messages": ["x"]}', 400, "invalid_messages"),
        (json.dumps({"messages": [{"role": "user", "content": ""}] * 21}).encode(), 400, "too_many_messages"),
        (deep(12), 400, "too_deep"),
        (deep(1900), 400, "too_deep"),
        (b'{"a": "' + b"x" * 5000 + b'"}', 413, "body_too_large"),
    ],
)
def test_bodies_that_are_refused(
    body: bytes, status: int, code: str, served: Endpoint, upstream: tuple[ScriptedUpstream, str]
) -> None:
    before = len(upstream[0].asked)
    kind = {"content-type": "application/json"}
    reply = httpx.post(f"{served.base_url}/chat/completions", content=body, headers=kind)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    chunks = iter([body[:7], body[7:]])
    assert httpx.post(f"{served.base_url}/chat/completions", content=chunks, headers=kind).status_code == status
    assert len(upstream[0].asked) == before


def test_ten_levels_are_fine(served: Endpoint) -> None:
    kind = {"content-type": "application/json"}
    assert httpx.post(f"{served.base_url}/chat/completions", content=deep(10), headers=kind).status_code == 200


@settings(max_examples=30)
@given(
    st.binary(max_size=60) | st.recursive(st.none() | st.text(), st.lists).map(lambda tree: json.dumps(tree).encode())
)
def test_no_body_raises_anything_but_a_fault(body: bytes) -> None:
    try:
        assert parse_body(body, ServeLimits()).tree["messages"]
    except Fault as fault:
        assert fault.status == 400


@settings(max_examples=50)
@given(st.lists(st.sampled_from([b"data: a", b"\n", b"\r\n", b"\n\n", b"\r", b": c"]), max_size=30))
def test_split_events_are_the_same_bytes(pieces: list[bytes]) -> None:
    splitter = EventSplitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    assert b"".join([*events, splitter.end()]) == b"".join(pieces)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_web_page_elsewhere_cannot_ask(media: str, served: Endpoint) -> None:
    url, body = f"{served.base_url}/chat/completions", json.dumps(CHAT).encode()
    assert httpx.post(url, content=body, headers={"content-type": media}).status_code == 415
    foreign: list[dict[str, str]] = [{"host": "evil.example"}, {"origin": "http://evil.example"}]
    for headers in foreign:
        reply = httpx.post(url, json=CHAT, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "foreign_host")
        assert httpx.get(f"{served.base_url}/models", headers=headers).status_code == 403
        assert httpx.get(f"{served.address}/metrics", headers=headers).status_code == 403
    assert httpx.options(url, headers={"origin": "http://evil.example"}).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/chat/completions/",
        "/v1/../health",
        "//v1/models",
        "/v1/models/x",
        "/v1/%2e%2e/metrics",
        "/v1/embeddings",
    ],
)
def test_paths_that_are_not_served(path: str, served: Endpoint) -> None:
    said = raw(served, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 404") and b"location" not in said.lower()


def test_a_client_of_another_interface_is_told_what_it_asked_for(served: Endpoint) -> None:
    """Agents SDKs that are given a model's name alone ask the Responses API."""
    with openai.OpenAI(base_url=served.base_url, api_key="k", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="POST /v1/responses is not served; known: POST /v1/chat/comp"):
            client.responses.create(model="m", input="Hi")
    long = httpx.get(f"{served.address}/{'x' * 3000}").json()["error"]["message"]
    assert long.startswith("GET /xxx") and len(long) < 200


def raw(served: Endpoint, data: bytes, wait: float = 5.0) -> bytes:
    host, _, port = served.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=wait) as sock:
        sock.sendall(data)
        found = b""
        with suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                found += piece
        return found


def test_slow_clients_are_let_go(served: Endpoint) -> None:
    began = time.monotonic()
    assert raw(served, b"") == b""
    assert raw(served, b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: ") == b""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    said = raw(served, head + b"content-length: 900\r\n\r\n{")
    assert said.startswith(b"HTTP/1.1 408") and b"slow_client" in said
    assert 1.0 < time.monotonic() - began < 5.0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_of_http_1_0_gets_no_chunks(
    stream: bool, served: Endpoint, upstream: tuple[ScriptedUpstream, str]
) -> None:
    upstream[0].answer = lambda asked: spoken("Fi", "ne.") if stream else completion()
    body = json.dumps({**CHAT, "stream": stream}).encode()
    head = f"host: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    port = int(served.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.0\r\n" + head[:20])
        time.sleep(0.05)
        client.sendall(head[20:] + body)
        told, _, found = b"".join(iter(lambda: client.recv(65536), b"")).partition(b"\r\n\r\n")
    upstream[0].answer = lambda asked: completion()
    assert b"transfer-encoding" not in told.lower() and b"connection: close" in told.lower()
    if stream:
        assert found == b"".join(spoken("Fi", "ne."))
    else:
        assert json.loads(found)["choices"] == completion()["choices"]
        assert f"content-length: {len(found)}".encode() in told


def test_headers_are_bounded(served: Endpoint) -> None:
    said = raw(served, b"GET /health HTTP/1.1\r\nx-a: " + b"a" * 200_000)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("chunked", [False, True])
def test_the_rest_of_a_body_that_was_answered_early_is_no_header(
    chunked: bool, upstream: tuple[ScriptedUpstream, str], advisor: Advisor
) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n"
    size, kind = 300_000, b"transfer-encoding: chunked\r\n\r\n" if chunked else b"content-length: 300000\r\n\r\n"
    limits = {"header_bytes": 8192, "client_seconds": 5}
    with endpoint(upstream[1], advisor, limits=limits) as one:
        host, _, port = one.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as sock:
            for _ in range(2):  # the connection is used again
                sock.sendall(head + kind)
                seen = sock.recv(4096)
                while not seen.endswith(b"}}"):  # head and body may come apart
                    seen += sock.recv(4096)
                assert seen.startswith(b"HTTP/1.1 415")
                for _ in range(0, size, 10_000):
                    sock.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n" if chunked else b"x" * 10_000)
                    time.sleep(0.005)
                sock.sendall(b"0\r\n\r\n" if chunked else b"")
            sock.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_the_rest_of_a_body_that_was_answered_early_is_bounded(served: Endpoint) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n"
    began, host, port = time.monotonic(), "127.0.0.1", served.address.rpartition(":")[2]
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 415")
        with suppress(ConnectionError):
            while time.monotonic() - began < 10:
                sock.sendall(b"1\r\nx\r\n")
                time.sleep(0.02)
    assert time.monotonic() - began < 5, "more than client_seconds"


def test_headers_of_a_connection_do_not_go_on(served: Endpoint, upstream: tuple[ScriptedUpstream, str]) -> None:
    more = {"connection": "x-secret, close", "x-secret": "1", "x-forwarded-for": "1.2.3.4", "cookie": "a=b", "te": "x"}
    assert httpx.post(f"{served.base_url}/chat/completions", json=CHAT, headers=more).status_code == 200
    sent = upstream[0].headers[-1]
    assert not sent.keys() & {"x-secret", "x-forwarded-for", "cookie", "te", "x-fama-key"}
    assert sent["host"] == upstream[1].removeprefix("http://") and sent["accept-encoding"] == "identity"


def test_names_of_helpers_are_safe_in_headers(
    upstream: tuple[ScriptedUpstream, str], advisor: Advisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fama.advising.advice import Advice

    monkeypatch.setattr(Advice, "subset", property(lambda self: ("A\r\nset-cookie: x=1", "é")))
    with endpoint(upstream[1], advisor) as served:
        reply = httpx.post(f"{served.base_url}/chat/completions", json=CHAT)
    assert reply.headers["x-fama-subset"] == "A__set-cookie:_x_1,_" and "set-cookie" not in reply.headers


def test_an_upstream_cannot_speak_for_the_endpoint(served: Endpoint, upstream: tuple[ScriptedUpstream, str]) -> None:
    upstream[0].answer = lambda asked: Response(b"{}", headers={"x-fama-subset": "DCE", "connection": "close"})
    reply = httpx.post(f"{served.base_url}/chat/completions", json=CHAT)
    assert reply.headers.get_list("x-fama-subset") == ["Alpha"] and reply.json() == {}
    upstream[0].answer = lambda asked: completion()


def test_a_key_is_needed_and_is_written_nowhere(
    upstream: tuple[ScriptedUpstream, str], advisor: Advisor, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    up = upstream[0]
    recorded = {"folder": str(tmp_path / "log")}
    with endpoint(upstream[1], advisor, key=KEY, record=recorded, key_env="K") as served:
        url = f"{served.base_url}/chat/completions"
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"x-fama-key": "é".encode()}):
            reply = httpx.post(url, json=CHAT, headers=headers)  # type: ignore[arg-type]
            assert reply.status_code == 401 and KEY not in reply.text
            assert httpx.get(f"{served.address}/metrics", headers=headers).status_code == 401  # type: ignore[arg-type]
        assert httpx.get(f"{served.address}/health").status_code == 200
        assert httpx.post(url, json=CHAT, headers={"authorization": f"Bearer {KEY}"}).status_code == 200
        assert up.headers[-1]["authorization"] == f"Bearer {KEY}"
        own = {"x-fama-key": KEY, "authorization": "Bearer sk-other-planted"}
        assert httpx.post(url, json=CHAT, headers=own).status_code == 200
        assert up.headers[-1]["authorization"] == "Bearer sk-other-planted"
        up.answer = lambda asked: spoken("a")
        assert httpx.post(url, json={**CHAT, "stream": True}, headers=own).status_code == 200
        up.answer = lambda asked: completion()
        shown = httpx.get(f"{served.address}/metrics", headers=own).text
    with endpoint(upstream[1], advisor, key=KEY, upstream_key="sk-upstream-1", key_env="K") as served:
        assert httpx.post(f"{served.base_url}/chat/completions", json=CHAT, headers=own).status_code == 200
        assert up.headers[-1]["authorization"] == "Bearer sk-upstream-1"
    written = "".join(path.read_text() for path in (tmp_path / "log").rglob("*") if path.is_file())
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith(("fama", "uvicorn")))
    assert "Hello." in written
    assert not [key for key in (KEY, "planted", "sk-upstream") for text in (written, shown, ours) if key in text]
