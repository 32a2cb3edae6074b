"""``fama serve`` as a command: its settings, what it refuses, and the loop from recorded conversations to a router."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fama.cli import main
from fama.episodes.store import read_episodes
from fama.redaction import api_keys, redact
from fama.serving.recording.exchange import Exchange
from fama.serving.server import read_key
from tests.support.browsing import free_port
from tests.support.serving import ScriptedUpstream, completion, plain, spoken

ROOT = Path(__file__).parents[2]
UPSTREAM = "http://127.0.0.1:9/v1"
QUICK = "helpers={pool: [DCE, TSA, TOR, Planner, Verifier, Memory], reading: patterns}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "router: is missing; give router=VALUE, or name it in a file"),
        (["--router", "none"], "upstream: is missing; give upstream=VALUE"),
        (["--router", "nope", "--upstream", UPSTREAM], "router: 'nope' is no folder of a checkpoint and no selector"),
        (["--router", "none", "--upstream", "127.0.0.1:9"], "give for example http://127.0.0.1:8000/v1"),
        (["--router", "none", "--upstream", "http://a:b@x/v1"], "upstream_key_env"),
        (["--router", "none", "--upstream", "http://x/v1?k=1"], "upstream"),
        (["--router", "none", "--upstream", UPSTREAM, "--port", "70000"], "port"),
        (["--router", "none", "--upstream", UPSTREAM, "--host", "192.0.2.1"], "others can reach it"),
        (["--router", "none", "--upstream", UPSTREAM, "--key-env", "FAMA_NO_KEY"], "FAMA_NO_KEY holds no key"),
        (["--router", "none", "--upstream", UPSTREAM, "--key-env", "FAMA_SHORT"], "at least 16 characters"),
        (["--router", "none", "--upstream", UPSTREAM, "--cadence", "never"], "cadence"),
        (["--router", "none", "--upstream", UPSTREAM, "limits.in_flight=0"], "limits.in_flight"),
        (["--router", "none", "--upstream", UPSTREAM, "record.hook=nowhere:f", "--record", "R", QUICK], "record.hook"),
    ],
)
def test_what_is_refused_at_the_start(
    words: list[str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("FAMA_SHORT", "abc")
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("fama: ") and expected in last


def test_certificates_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was a traceback, and the advice to give another port."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    asked = ["--router", "none", "--upstream", "https://llm.example/v1", "--port", "0", QUICK]
    assert main(["serve", *asked]) == 2
    told = "fama: https://llm.example/v1: the certificates of SSL_CERT_FILE cannot be read (No such file or directory)"
    assert capsys.readouterr().err == f"{told}; fix or unset it\n"


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with plain(ScriptedUpstream().app) as address:
        port = address.rpartition(":")[2]
        assert main(["serve", "--router", "none", "--upstream", UPSTREAM, "--port", port, QUICK]) == 2
    assert f"127.0.0.1:{port}: cannot be listened on; give another --port" in capsys.readouterr().err


def test_the_values_of_keys_are_neither_recorded_nor_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "_variables", set(api_keys._variables))
    monkeypatch.setenv("FAMA_OWN", "client-key-of-24-letters")
    monkeypatch.setenv("FAMA_UP", "upstream-key")
    assert read_key("FAMA_OWN", "--key-env") == "client-key-of-24-letters"
    assert read_key("FAMA_UP", "upstream_key_env", shortest=1) == "upstream-key"
    said = "Use client-key-of-24-letters or upstream-key."
    body, reply = {"messages": [{"role": "user", "content": said}]}, completion(said)
    kept = Exchange(body, reply, None, 0.0, 0.0).episode("e", "none", "", "", None)
    assert [message.content for message in kept.messages] == ["Use *** or ***."] * 2
    assert redact(said) == "Use *** or ***."


def test_flags_are_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        "--router",
        "it's",
        "--upstream",
        f"{UPSTREAM}/",
        "--record",
        str(tmp_path),
        "--host",
        "::1",
        "--port",
        "0",
    ]
    assert main(["serve", *words, "limits.in_flight=3", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert (printed["router"], printed["upstream"], printed["record"]["folder"]) == ("it's", UPSTREAM, str(tmp_path))
    assert (printed["port"], printed["limits"]["in_flight"]) == (0, 3)
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(printed))
    assert main(["serve", "--config", str(tmp_path / "serve.yaml"), "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == printed


@contextmanager
def command(*words: str, folder: Path = ROOT) -> Iterator[str]:
    """Run ``fama serve`` until the block ends, then stop it as a job scheduler does; it must end well."""
    port = str(free_port())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "fama", "serve", "--port", port, *words],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None and time.monotonic() < until, process.stderr and process.stderr.read()
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
                break
            except httpx.ConnectError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def converse(base_url: str, number: int) -> dict[str, Any]:
    """One conversation of two requests; return what the second was told of its advice."""
    messages = [
        {"role": "system", "content": "Only cancel orders that are pending."},
        {"role": "user", "content": f"Please cancel order W{number}00."},
    ]
    with httpx.Client(base_url=base_url, timeout=30) as client:
        for more in ("Yes, do it, or I complain.", None):
            body = {"model": "m", "messages": messages, "tools": [_tool("find_order"), _tool("cancel_order")]}
            reply = client.post("/chat/completions", json=body)
            messages.append(reply.json()["choices"][0]["message"])
            messages.append({"role": "user", "content": more or ""})
    told: dict[str, Any] = reply.json()["fama"]
    return told


def _tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_free_port_is_told(host: str, expected: str) -> None:
    words = ["serve", "--router", "none", "--upstream", UPSTREAM, "--host", host, "--port", "0", QUICK]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "fama", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        address, arrow, _ = process.stderr.readline().partition(" → ")
        assert arrow and re.fullmatch(rf"http://{re.escape(expected)}:[1-9]\d*/v1", address)
        assert httpx.get(f"{address.removesuffix('/v1')}/health").status_code == 200
    finally:
        process.kill()
        process.communicate()


def test_a_stop_in_the_middle_finishes_what_clients_wait_for(tmp_path: Path) -> None:
    up = ScriptedUpstream()
    first, *rest = spoken("Order W100 ", "is on ", "its way.")
    up.answer = lambda asked: [first, 0.7, *rest] if asked.get("stream") else completion()
    texts: dict[str, bytes] = {}

    def ask(name: str, **more: Any) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": f"Where is {name}?"}], **more}
        with (
            httpx.Client(timeout=30) as client,
            client.stream("POST", f"{base_url}/chat/completions", json=body) as reply,
        ):
            texts[name] = b"" if name == "left" else reply.read()  # "left" goes away with the reply under way

    names = ("streamed", "left")
    with plain(up.app) as address:
        with command("--router", "none", "--upstream", f"{address}/v1", QUICK, "--record", str(tmp_path)) as base_url:
            threads = [threading.Thread(target=ask, args=(name,), kwargs={"stream": True}) for name in names]
            for thread in threads:
                thread.start()
            until = time.monotonic() + 20
            while len(up.asked) < len(names):
                assert time.monotonic() < until
                time.sleep(0.01)
        for thread in threads:
            thread.join(20)
    assert texts == {"streamed": b"".join([first, *rest]), "left": b""}
    (episode,) = read_episodes(tmp_path)
    assert [message.content for message in episode.messages] == ["Where is streamed?", "Order W100 is on its way."]


def test_from_production_logs_to_a_better_router_in_four_commands(tmp_path: Path) -> None:
    up = ScriptedUpstream()
    up.answer = lambda asked: completion(f"Order W{len(asked['messages'])}99 will be cancelled for you.")
    log, labels, router = tmp_path / "log", tmp_path / "labels", tmp_path / "router"
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    (written,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "def outcome" in block)
    (tmp_path / "mine.py").write_text(written, encoding="utf-8")
    hook = "record.closing_hook=mine:outcome"
    with plain(up.app) as address:
        upstream = ("--upstream", f"{address}/v1", QUICK)
        with command("--router", "none", *upstream, "--record", str(log), hook, folder=tmp_path) as base_url:
            for number in range(1, 13):
                assert converse(base_url, number)["subset"] == []
        assert main(["diagnose", str(log), "--judge", "none", "--out", str(labels)]) == 0
        learn = [
            *("kind=linear", "vectors.source=hashed", "vectors.components=4", "vectors.buckets=64", "linear.folds=2"),
            f"data.failures=[{{failures: {labels / 'failures.jsonl'}, episodes: {log}}}]",
            *("data.unexplained=true", "losses={outcome: 0.0, tokens: 0.0, coverage: 1.0, categories: 0.5}"),
        ]
        assert main(["train", "--out", str(router), *learn]) == 0
        with command("--router", str(router), *upstream, "--record", str(tmp_path / "next")) as base_url:
            told = converse(base_url, 20)
    assert told["subset"] and set(told["subset"]) <= {"DCE", "TSA", "TOR", "Planner", "Verifier", "Memory"}
    (episode,) = read_episodes(tmp_path / "next")
    assert episode.selector == "learned" and [decision.turn for decision in episode.decisions] == [0, 1]
    assert episode.outcome.reason == "no outcome in the log" and episode.reward is None
