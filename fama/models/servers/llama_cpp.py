"""Weights served inside this process by llama.cpp (xllamacpp), on the loopback interface.

Users of the same weights and sizes share one server: on a small machine two servers at once are
slower than one after the other.
"""

import gc
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fama.errors import FamaError
from fama.models.servers.loopback import LOOPBACK, need_free

PROMPT_CACHE_MIB = 1024
"""Memory for prompts that left their slot; agent and helper calls take turns and each finds its prefix again."""


@dataclass(frozen=True)
class ServerSpec:
    """The specification of a server: users with equal ones share a server.

    ``context_tokens`` is the context over all slots, ``threads`` 0 takes every core, ``port`` 0 any free
    one. ``prompt_cache_mib`` is the memory for prompts that left their slot; with 0 a slot holds its last prompt only.
    """

    path: Path
    slots: int = 1
    context_tokens: int = 8192
    threads: int = 0
    port: int = 0
    prompt_cache_mib: int = PROMPT_CACHE_MIB


@dataclass(frozen=True)
class Endpoint:
    """The address and key of a server. The key keeps other users of the machine out; it lives only in memory."""

    base_url: str
    api_key: str


class _Entry:
    def __init__(self, server: Any, endpoint: Endpoint) -> None:
        self.server = server
        self.endpoint = endpoint
        self.users = 0


_running: dict[ServerSpec, _Entry] = {}
_lock = threading.Lock()


@contextmanager
def serve(spec: ServerSpec, api_key: str | None = None) -> Iterator[Endpoint]:
    """Serve weights for the length of the block. Starting takes seconds and holds the interpreter.

    Args:
        spec: weights and sizes.
        api_key: key that callers must send; None makes a random one, "" asks for none.

    Raises:
        BadInput: the port is taken.
        FamaError: llama.cpp could not load the file or listens elsewhere than on loopback.
    """
    with _lock:
        entry = _running.get(spec)
        if entry is None:
            entry = _running[spec] = _start(spec, secrets.token_urlsafe(16) if api_key is None else api_key)
        entry.users += 1
    try:
        yield entry.endpoint
    finally:
        with _lock:
            entry.users -= 1
            if entry.users == 0:
                _running.pop(spec, None)
                entry.server = None  # its destructor stops the server and joins its threads
                gc.collect()


def _start(spec: ServerSpec, api_key: str) -> _Entry:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(spec.path)
    params.model_alias = {spec.path.stem}
    params.hostnames = ["127.0.0.1"]
    params.port = spec.port
    params.n_parallel = spec.slots
    params.n_ctx = spec.context_tokens
    params.cpuparams.n_threads = spec.threads or os.cpu_count() or 1
    params.cache_prompt = True
    params.prefill_assistant = True
    # llama.cpp's flash attention is a GPU kernel first: on the CPU it reads prompts of a long history more slowly
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_ram_mib = spec.prompt_cache_mib
    params.verbosity = 0  # llama.cpp would log to this process's standard error
    params.ui = False
    params.endpoint_slots = False
    params.warmup = False
    if api_key:
        params.api_keys = [api_key]
    if spec.port:
        need_free(spec.port)
    try:
        server = xllamacpp.Server(params)
    except (RuntimeError, ValueError, OSError) as error:
        raise FamaError(f"{spec.path}: llama.cpp cannot serve it ({error}); is it a GGUF file?") from error
    address = server.listening_address
    if urlsplit(address).hostname not in LOOPBACK:
        del server
        raise FamaError(f"the server listens on {address}, not on loopback; stopped it")
    return _Entry(server, Endpoint(f"{address}/v1", api_key or "none"))
