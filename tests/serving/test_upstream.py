"""The connections to the upstream: what is used again, what ends them, and who is asked through what."""

import asyncio
import gc
import gzip
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from fama.advising.advisor import Advisor
from fama.errors import BadInput
from fama.serving.faults import Fault
from fama.serving.settings import ServeSettings
from fama.serving.upstream import Upstream, reply_headers
from fama.settings import HelperSettings
from tests.support.raw_server import CLOSE, HEAD, RESET, Step, raw_server, sized
from tests.support.serving import endpoint

CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
PLAIN = json.dumps({"choices": [], "text": "x" * 3_000_000}).encode()


class Got(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


@asynccontextmanager
async def upstream(address: str, key: str | None = None, **limits: float) -> AsyncIterator[Upstream]:
    settings = ServeSettings.model_validate({"router": "none", "upstream": f"{address}/v1", "limits": limits})
    async with Upstream(settings, key) as one:
        yield one


async def ask(one: Upstream, *headers: tuple[bytes, bytes], body: bytes | None = b"{}") -> Got:
    kind = (b"content-type", b"application/json")
    async with one.ask("POST", "/chat/completions", [kind, *headers], body) as response:
        found = await one.read(response)
    return Got(response.status, dict(reply_headers(response, unpacked=True)), found)


async def refused(one: Upstream, body: bytes | None = b"{}") -> tuple[int, str]:
    with pytest.raises(Fault) as caught:
        await ask(one, body=body)
    return caught.value.status, caught.value.reason


async def test_connections_are_used_again_and_no_cookie_is_kept() -> None:
    async with raw_server([sized(b"1", b"set-cookie: a=b")]) as server:
        async with upstream(server.address.replace("127.0.0.1", "localhost")) as one:
            got = [await ask(one) for _ in range(5)]
    assert server.connections == 1 and {each.body for each in got} == {b"1"}
    assert got[0].headers[b"set-cookie"] == b"a=b" and b"cookie" not in b"".join(server.heads).lower()


@pytest.mark.parametrize("pause", [0.0, 0.05])
async def test_a_reply_that_nobody_asked_for_answers_no_request(pause: float) -> None:
    twice: list[Step] = [sized(b"own"), pause, sized(b"of nobody")]
    async with raw_server(twice, [sized(b"own")]) as server, upstream(server.address) as one:
        first = await ask(one)
        await asyncio.sleep(0.2)
        assert [first.body, *[(await ask(one)).body for _ in range(3)]] == [b"own"] * 4
    assert server.connections == 2


async def test_a_server_that_closes_after_each_reply_is_asked_by_new_connections() -> None:
    async with raw_server([sized(b"1"), CLOSE]) as server, upstream(server.address) as one:
        assert [(await ask(one)).body for _ in range(10)] == [b"1"] * 10
    assert server.connections == 10


async def test_an_end_that_the_event_loop_has_not_seen_yet_is_seen() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            while b"\r\n\r\n{}" not in connection.recv(65536):
                pass
            connection.sendall(sized(b"1"))
            time.sleep(0.1)
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    async with upstream(f"http://127.0.0.1:{listener.getsockname()[1]}") as one:
        await ask(one)
        time.sleep(0.3)  # the server closes meanwhile
        assert (await ask(one)).body == b"1"
    thread.join(5)
    listener.close()


@pytest.mark.parametrize("status", [b"099 x", b"101 Switching Protocols\r\nupgrade: x", b"600 x", b"999 x"])
async def test_a_status_that_no_reply_has_is_answered(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n"
    async with raw_server([answer]) as server, upstream(server.address) as one:
        assert await refused(one) == (502, "upstream_odd")


@pytest.mark.parametrize(
    "answer",
    [
        [CLOSE],
        [b"SSH-2.0-x\r\n"],
        [HEAD + b"content-length: 9\r\n\r\n123", CLOSE],
        [HEAD + b"content-length: 9\r\n\r\n123", 0.1, RESET],
        [CHUNKED + b"3\r\nabc\r\n", CLOSE],
        [CHUNKED + b"3\r\nabc\r\n", 0.1, b"ZZ\r\n", 9.0],
        [HEAD + b"x-a: a\rset-cookie: b=c\r\ncontent-length: 0\r\n\r\n"],
        [sized(b"x", b"content-length: 5", b"transfer-encoding: chunked")],
        [sized(b"no packing", b"content-encoding: gzip")],
    ],
)
async def test_an_upstream_that_breaks_off_or_speaks_no_http_is_502_at_once(
    answer: list[Step], caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    async with raw_server(answer) as server, upstream(server.address) as one:
        assert await refused(one) == (502, "upstream_unreachable")
    assert time.monotonic() - began < 5
    gc.collect()
    assert not caplog.records, "no failure that nobody waits for"


async def test_chunks_that_break_end_a_stream_with_an_error_for_its_client() -> None:
    events = HEAD.replace(b"application/json", b"text/event-stream") + b"transfer-encoding: chunked\r\n\r\n"
    answer: list[Step] = [events + b"9\r\ndata: 1\n\n\r\n", 0.1, b"ZZ\r\n", 30.0]
    with Advisor("none", helpers=HelperSettings(reading="patterns")) as advisor:
        async with raw_server(answer) as server, httpx.AsyncClient(timeout=10) as client:
            with endpoint(server.address, advisor) as served:
                asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
                reply = await client.post(f"{served.base_url}/chat/completions", json=asked)
    assert reply.text.startswith("data: 1\n\n") and "upstream_broke_off" in reply.text


@pytest.mark.parametrize("answer", [[], [HEAD], [HEAD + b"content-length: 9\r\n\r\n123"], [CHUNKED + b"3\r\nabc\r\n"]])
async def test_silence_is_504(answer: list[Step]) -> None:
    script: list[Step] = [*answer, 9.0]
    async with raw_server(script) as server, upstream(server.address, upstream_seconds=0.3) as one:
        assert await refused(one) == (504, "upstream_timeout")


@pytest.mark.parametrize(("seconds", "status"), [(600.0, 502), (0.1, 504)])
async def test_an_upstream_that_takes_no_connection_could_not_be_asked(
    seconds: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fama.serving.upstream._CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        others = [socket.socket() for _ in range(4)]
        for one in others:  # the system takes so many and leaves the others waiting
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        try:
            async with upstream(f"http://127.0.0.1:{full.getsockname()[1]}", upstream_seconds=seconds) as asked:
                assert (await refused(asked))[0] == status
        finally:
            for one in others:
                one.close()


async def test_a_slow_reply_is_not_silent() -> None:
    answer: list[Step] = [CHUNKED, *(part for _ in range(6) for part in (0.1, b"1\r\na\r\n")), b"0\r\n\r\n"]
    async with raw_server(answer) as server, upstream(server.address, upstream_seconds=0.4) as one:
        assert (await ask(one)).body == b"aaaaaa"


@pytest.mark.parametrize("gone", [True, False])
async def test_an_upload_that_the_server_does_not_take_ends_with_its_connection(gone: bool) -> None:
    seconds = 600.0 if gone else 0.5
    async with raw_server([1.5], reads=False) as server, upstream(server.address, upstream_seconds=seconds) as one:
        work = asyncio.create_task(ask(one, body=b"x" * 30_000_000))
        await asyncio.sleep(0.5)
        if gone:
            work.cancel()
        await asyncio.wait((work,), timeout=5)
        assert work.cancelled() if gone else isinstance(error := work.exception(), Fault) and error.status == 504
        await asyncio.wait_for(server.lost.wait(), 5)
    assert server.taken < 30_000_000


async def test_an_answer_before_the_end_of_the_upload_passes() -> None:
    answer: list[Step] = [
        b"HTTP/1.1 413 Too Large\r\nconnection: close\r\n" + sized(b"big").removeprefix(b"HTTP/1.1 200 OK\r\n"),
        1.0,
    ]
    async with raw_server(answer, reads=False) as server, upstream(server.address) as one:
        got = await ask(one, body=b"x" * 30_000_000)
    assert (got.status, got.body) == (413, b"big")


def packed(wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(PLAIN) + packer.flush()


@pytest.mark.parametrize(
    ("packing", "body"),
    [(b"gzip", packed(31)), (b"X-GZip", packed(31)), (b"deflate", packed(15)), (b"deflate", packed(-15))],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_packed_replies_are_unpacked(packing: bytes, body: bytes, step: int) -> None:
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[i : i + step] for i in range(0, len(body), step))]
    answer = [
        HEAD + b"content-encoding: " + packing + b"\r\ntransfer-encoding: chunked\r\n\r\n",
        b"".join(chunks),
        b"0\r\n\r\n",
    ]
    async with raw_server(answer) as server, upstream(server.address) as one:
        got = await ask(one)
    assert got.body == PLAIN and b"content-encoding" not in got.headers


async def test_a_packing_that_is_not_known_stays_with_its_name() -> None:
    async with raw_server([sized(b"\x0b\x02", b"content-encoding: br")]) as server, upstream(server.address) as one:
        got = await ask(one)
        async with one.ask("GET", "/models", []) as response:
            assert (b"content-encoding", b"br") in reply_headers(response, unpacked=False)
    assert got.body == b"\x0b\x02" and got.headers[b"content-encoding"] == b"br"


async def test_a_reply_is_bounded_as_it_is_unpacked() -> None:
    bomb = sized(gzip.compress(bytes(200_000_000)), b"content-encoding: gzip")
    async with (
        raw_server([bomb], [sized(bytes(70_000))]) as server,
        upstream(server.address, reply_bytes=65_536) as one,
    ):
        tracemalloc.start()
        assert await refused(one) == (502, "upstream_too_large")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()
        assert await refused(one) == (502, "upstream_too_large")


async def test_header_values_go_upstream_in_utf_8_and_come_back_as_bytes() -> None:
    async with raw_server([sized(b"1", b"x-b: \xe9")]) as server, upstream(server.address, key="sk-1") as one:
        got = await ask(one, (b"x-a", "é✓".encode()), (b"x-a", b"caf\xe9"), (b"user-agent", b"mine"))
        async with one.ask("GET", "/models", []) as response:
            assert response.status == 200
    lines = server.heads[0].splitlines()
    assert [line for line in lines if line.startswith(b"x-a")] == ["x-a: é✓".encode(), "x-a: café".encode()]
    assert b"authorization: Bearer sk-1" in lines and b"user-agent: mine" in lines
    assert got.headers[b"x-b"] == b"\xe9"
    names = [line.partition(b":")[0].lower() for line in server.heads[1].splitlines()[1:-1]]
    assert sorted(names) == [b"accept-encoding", b"authorization", b"host"]


async def test_an_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with raw_server([sized(b"1")], host="::1") as server, upstream(server.address) as one:
        assert (await ask(one)).body == b"1"
    assert f"Host: {server.address.removeprefix('http://')}".encode() in server.heads[0].splitlines()


async def test_a_proxy_of_the_environment_leads_to_others_and_not_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with raw_server([sized(b"proxy")]) as proxy, raw_server([sized(b"own")]) as server:
        monkeypatch.setenv("http_proxy", proxy.address.replace("//", "//me:word@"))
        async with upstream("http://upstream.invalid:8000") as one, upstream(server.address) as local:
            assert ((await ask(one)).body, (await ask(local)).body) == (b"proxy", b"own")
        assert proxy.heads[0].startswith(b"POST http://upstream.invalid:8000/v1/chat/completions HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic bWU6d29yZA==" in proxy.heads[0].splitlines()
        monkeypatch.setenv("no_proxy", "other.invalid,upstream.invalid")
        async with upstream("http://upstream.invalid:8000") as one:
            assert await refused(one) == (502, "upstream_unreachable")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", "socks5://me:word@127.0.0.1:9")
        with pytest.raises(BadInput, match="proxy does not speak HTTP") as caught:
            Upstream(ServeSettings(router="none", upstream="http://upstream.invalid/v1"))
        assert "word" not in str(caught.value)


async def test_a_certificate_is_verified_as_for_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("a certificate is made by openssl")
    key, made = tmp_path / "key.pem", tmp_path / "made.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=x -addext subjectAltName=IP:127.0.0.1".split()
    subprocess.run(["openssl", *words, "-keyout", key, "-out", made], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    async with raw_server([sized(b"1")], context=context) as server:
        async with upstream(server.address) as one:
            assert await refused(one) == (502, "upstream_unreachable")
        monkeypatch.setattr("certifi.where", lambda: str(made))
        async with upstream(server.address) as one:
            assert [(await ask(one)).body for _ in range(3)] == [b"1"] * 3
    assert server.connections == 1 and len(server.heads) == 3
