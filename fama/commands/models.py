"""``fama models list | pull NAME | serve NAME``: local weights and servers."""

import argparse
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from fama.errors import BadInput, FamaError

DEFAULT_PORT = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("list", "pull", "serve"), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name of `fama models list`, or a .gguf file (serve)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port of serve (default %(default)s)")
    parser.add_argument("--backend", choices=("llama.cpp", "vllm"), default="llama.cpp", help="what serves the model")
    parser.add_argument("--context", type=int, default=8192, help="tokens of context, over all slots (default 8192)")
    parser.add_argument("--slots", type=int, default=1, help="parallel sequences of llama.cpp (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="threads of llama.cpp (default: every core)")


def main(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if args.action == "list":
        return _list()
    if not args.name:
        raise BadInput(f"fama models {args.action}: give a NAME; `fama models list` shows them")
    if args.action == "pull":
        from fama.models.weights import pull

        print(pull(args.name))
        return 0
    if not 0 <= args.port <= 65535:
        raise BadInput(f"--port {args.port}: give a number from 0 (any free port) to 65535")
    return _serve_vllm(args) if args.backend == "vllm" else _serve_llama(args)


def _list() -> int:
    from rich.console import Console
    from rich.table import Table

    from fama.models.catalogue import DEFAULT_MODEL, MODELS
    from fama.models.weights import cache_folder, is_present

    table = Table(caption=f"weights are kept in {cache_folder()}", caption_justify="left")
    for column in ("name", "licence", "size", "here", "purpose"):
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for model in MODELS:
        mark = " (default)" if model.name == DEFAULT_MODEL else ""
        here = "yes" if is_present(model) else "no"
        table.add_row(model.name + mark, model.licence, f"{model.size / 1e6:,.0f} MB", here, model.purpose)
    Console().print(table)
    return 0


def _serve_llama(args: argparse.Namespace) -> int:
    from fama.models.local import ServerSpec, serve
    from fama.models.weights import resolve

    path = resolve(args.name)
    spec = ServerSpec(path, args.slots, args.context, args.threads, args.port)
    with serve(spec, api_key="") as endpoint:
        print(f"serving {path.name} on this machine only, until Ctrl-C; base_url: {endpoint.base_url}", flush=True)
        try:
            while True:
                threading.Event().wait(3600)
        except KeyboardInterrupt:
            print("stopped")
    return 0


def vllm_command(name: str, port: int, context: int) -> list[str]:
    """The command that serves a catalogue name, a hub repository or a folder with vLLM, on loopback."""
    from fama.models.catalogue import MODELS

    originals = {model.name: model.original for model in MODELS}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    return [
        *command,
        "--model",
        originals.get(name, name),
        "--served-model-name",
        name,
        "--max-model-len",
        str(context),
        "--enable-prefix-caching",
    ]


def _serve_vllm(args: argparse.Namespace) -> int:
    if find_spec("vllm") is None:
        raise BadInput("--backend vllm: vLLM is not installed; install it with: pip install 'fama-router[vllm]'")
    if args.port == 0:
        raise BadInput("--port 0: vLLM needs a port of its own; give a number up to 65535")
    if args.name.endswith(".gguf") or Path(args.name).is_file():
        raise BadInput(f"{args.name}: vLLM serves a hub repository or a folder with safetensors, not one file")
    print(f"starting vLLM, until Ctrl-C; base_url: http://127.0.0.1:{args.port}/v1", flush=True)
    process = subprocess.Popen(vllm_command(args.name, args.port, args.context))  # noqa: S603 - a list, no shell
    try:
        code = process.wait()
    except KeyboardInterrupt:
        print("stopped")
        return 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise FamaError(f"vLLM ended with code {code}; its own messages above say why")
    return 0
