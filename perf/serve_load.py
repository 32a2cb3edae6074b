"""Measure the endpoint under load: conversations at once against a scripted upstream.

    python perf/serve_load.py

Three processes: a scripted upstream that answers after a pause, ``fama serve`` with the shipped linear router and
template helpers, and this one, which holds conversations of eight requests each. All three share this machine's cores,
so that times hold those of the load and of the upstream, too. Measured are the overhead, seconds through the endpoint
less the median straight to the upstream at the same pause, arrivals and number of conversations; requests per second
with an upstream that answers at once; the endpoint's CPU per request; and its resident memory over many requests.

The overhead is measured for two patterns of arrivals. *In a burst*: all conversations begin at the same moment and ask
again as soon as they are answered, so that the rate is as high as the upstream's pause lets it be, and a request's time
is mostly its wait behind the others of its burst. *Staggered*: they begin apart, and a time to think or to run a tool,
drawn from an exponential distribution, lies before each further request; by default as short as 64 conversations need
to ask 160 times a second.

Exit code 1 when the overhead of staggered requests passes 5 ms in the median or 20 ms at 99 %, fewer than 150 of them
are answered per second, or memory grows by more than 10 % over the second half. A burst has no limit: the last of 64
requests of one moment waits for the CPU of 63. Nothing else should run meanwhile.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from fama.settings import ReadingMode
from perf.loop_overhead import POLICY, TOOLS
from perf.record import ROOT, conclude, environment, parser, save

MEDIAN_MS, P99_MS, LEAST_RATE, GROWTH = 5.0, 20.0, 150.0, 1.10
#: Requests of one conversation.
TURNS = 8
ROUTER = "checkpoints/helpdesk-linear"
UPSTREAM = """
import asyncio, sys
import uvicorn
BODY = (b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",'
        b'"message":{"role":"assistant","content":"It is on its way."}}],'
        b'"usage":{"prompt_tokens":900,"completion_tokens":6,"total_tokens":906}}')
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    pause = float(dict(scope["headers"]).get(b"x-pause", b"0"))
    if pause:
        await asyncio.sleep(pause)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off", timeout_keep_alive=60)
"""
_TOOLS = [
    {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.schema_dict()}}
    for t in TOOLS
]


class LoadTimes(NamedTuple):
    """Seconds of each request, and wall seconds of all of them together."""

    seconds: list[float]
    wall: float


async def hold_conversations(
    port: int, conversations: int, requests: int, pause: float, think: float = 0.0
) -> LoadTimes:
    """Hold so many conversations at once until so many requests are answered; ``think`` staggers them."""
    found: list[float] = []
    left = iter(range(requests))
    waits = [_waits(number, pause, think) for number in range(conversations)]
    began = time.perf_counter()
    await asyncio.gather(*(_converse(port, left, found, pause, wait) for wait in waits))
    return LoadTimes(found, time.perf_counter() - began)


def _waits(number: int, pause: float, think: float) -> Iterator[float]:
    """Yield the seconds that a conversation waits before each of its requests."""
    drawn = random.Random(number)  # noqa: S311 - not for cryptography
    yield drawn.uniform(0.0, pause + think) if think else 0.0
    while True:
        yield drawn.expovariate(1 / think) if think else 0.0


async def _converse(port: int, left: Iterator[int], found: list[float], pause: float, waits: Iterator[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    messages: list[dict[str, Any]] = []
    for number in left:
        if wait := next(waits):
            await asyncio.sleep(wait)
        if len(messages) >= 2 * TURNS or not messages:
            messages = [{"role": "system", "content": POLICY}]
        messages.append(
            {"role": "user", "content": f"Where is order W{number}, and can I return the lamp of W{number + 1}?"}
        )
        body = json.dumps({"model": "m", "messages": messages, "tools": _TOOLS}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-pause: {pause}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the endpoint answered {answer.splitlines()[0]!r}")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        reply = json.loads(await reader.readexactly(length))
        found.append(time.perf_counter() - began)
        messages.append(reply["choices"][0]["message"])
    writer.close()


@contextmanager
def process(port: int, *words: str) -> Iterator[int]:
    """Run Python with these arguments until the block ends; yield its id once its port is open."""
    running = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment())
    try:
        until = time.monotonic() + 120
        while not _is_open(port):
            if running.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{words[:4]} did not start")
            time.sleep(0.1)
        yield running.pid
    finally:
        running.terminate()
        running.wait(60)


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def resident(pid: int) -> float:
    """Return the resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> int:
    """Measure, write, judge."""
    args = parser(__doc__)
    args.add_argument("--conversations", type=int, default=64, help="conversations at once")
    args.add_argument("--paused", type=int, default=3_000, metavar="N", help="requests for the overhead")
    args.add_argument("--requests", type=int, default=50_000, help="requests for rate and memory")
    args.add_argument("--pause", type=float, default=0.2, help="seconds of the upstream, for the overhead")
    args.add_argument("--think", type=float, default=0.2, help="mean seconds before a further request, if staggered")
    args.add_argument("--reading", default="patterns", choices=get_args(ReadingMode), help="of template helpers")
    args.add_argument("--record", action="store_true", help="record the conversations, too")
    wanted = args.parse_args()
    with ExitStack() as stack:
        behind, front = free_port(), free_port()
        stack.enter_context(process(behind, "-c", UPSTREAM, str(behind)))
        words = ["--router", ROUTER, "--upstream", f"http://127.0.0.1:{behind}/v1", "--port", str(front)]
        words.append(f"helpers={{reading: {wanted.reading}}}")
        if wanted.record:
            words += ["--record", stack.enter_context(tempfile.TemporaryDirectory())]
        pid = stack.enter_context(process(front, "-m", "fama", "serve", *words))
        rows, kept = measure(behind, front, pid, wanted)
    note = f"{wanted.conversations} conversations at once, reading by {wanted.reading}, pause {wanted.pause:g} s"
    note += f", staggered: {wanted.think:g} s to think; load and upstream on the same cores"
    note += ", recorded" if wanted.record else ""
    save("serve_load", rows, ("starlette", "uvicorn", "aiohttp", "httptools"), wanted.out, note)
    limits = (
        f"staggered: {LEAST_RATE:g} requests per second, overhead {MEDIAN_MS:g} ms, {P99_MS:g} ms at 99 %; flat memory"
    )
    return conclude(limits, kept)


def measure(behind: int, front: int, pid: int, wanted: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Return the rows, and whether all limits are kept."""
    conversations, requests = wanted.conversations, wanted.requests
    asyncio.run(hold_conversations(front, conversations, 2 * conversations, 0.0))  # imports and caches
    rows: list[dict[str, Any]] = []
    kept = True
    for arrivals, think in (("in a burst", 0.0), ("staggered", wanted.think)):
        straight = asyncio.run(hold_conversations(behind, conversations, wanted.paused, wanted.pause, think))
        cpu = processor(pid)
        through = asyncio.run(hold_conversations(front, conversations, wanted.paused, wanted.pause, think))
        used = round(1000 * (processor(pid) - cpu) / wanted.paused, 2)
        base = statistics.median(straight.seconds)
        overhead = [1000 * (seconds - base) for seconds in through.seconds]
        median, high = statistics.median(overhead), quantile(overhead, 0.99)
        if think:
            reached = len(through.seconds) / through.wall
            kept = median <= MEDIAN_MS and high <= P99_MS and reached >= LEAST_RATE
        rows.append(_row(f"straight to the upstream, {arrivals}", straight))
        rows.append({**_row(f"through the endpoint, {arrivals}", through), "ms of CPU per request": used})
        rows.append({"what": f"overhead, {arrivals}", "median ms": round(median, 2), "99 % ms": round(high, 2)})
    cpu = processor(pid)
    first = asyncio.run(hold_conversations(front, conversations, requests // 2, 0.0))
    half = resident(pid)
    second = asyncio.run(hold_conversations(front, conversations, requests - requests // 2, 0.0))
    end = resident(pid)
    rate = requests / (first.wall + second.wall)
    row = {"what": "an upstream that answers at once", "requests": requests, "requests per second": round(rate, 1)}
    rows.append({**row, "ms of CPU per request": round(1000 * (processor(pid) - cpu) / requests, 2)})
    rows.append({"what": f"resident memory after {requests // 2:,} requests", "MB": round(half, 1)})
    rows.append({"what": f"resident memory after {requests:,} requests", "MB": round(end, 1)})
    return rows, kept and rate >= LEAST_RATE and end <= GROWTH * half


def _row(what: str, found: LoadTimes) -> dict[str, Any]:
    return {
        "what": what,
        "requests": len(found.seconds),
        "median ms": round(1000 * statistics.median(found.seconds), 2),
        "99 % ms": round(1000 * quantile(found.seconds, 0.99), 2),
        "requests per second": round(len(found.seconds) / found.wall, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
