"""``fama models list | pull NAME | serve NAME``: local weights and servers."""

import argparse
import shlex
import threading
from pathlib import Path

from fama.commands.flags import refuse_unused
from fama.errors import BadInput, FamaError

DEFAULT_PORT = 8000
_LLAMA: dict[str, object] = {"slots": 1, "threads": 0}
_VLLM: dict[str, object] = {"tool_parser": None, "flags": "", "wait": 1800.0, "record": None}
_SERVE: dict[str, object] = {"port": DEFAULT_PORT, "backend": "llama.cpp", "context": 8192, **_LLAMA, **_VLLM}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=("list", "pull", "serve"), help="what to do")
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="a name of `fama models list`; to serve also a .gguf file, or with --backend vllm a repository or folder",
    )
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port of serve (default %(default)s)")
    parser.add_argument("--backend", choices=("llama.cpp", "vllm"), default="llama.cpp", help="what serves the model")
    told = "tokens of context, of llama.cpp over all slots (default 8192)"
    parser.add_argument("--context", type=int, default=8192, help=told)
    parser.add_argument("--slots", type=int, default=1, help="parallel sequences of llama.cpp (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="threads of llama.cpp (default: every core)")
    parser.add_argument("--tool-parser", metavar="NAME", help="vLLM's parser of tool calls (default: the family's)")
    parser.add_argument("--flags", default="", metavar="TEXT", help='more flags for vLLM: --flags="--dtype bfloat16"')
    parser.add_argument("--wait", type=float, default=1800.0, metavar="S", help="seconds vLLM may load (default 1800)")
    parser.add_argument("--record", metavar="FILE", help="note of vLLM's version and flags (default: the cache)")


def main(args: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    if args.action != "serve":
        refuse_unused(args, _SERVE, f"is for fama models serve, not for {args.action}")
    if args.action == "list":
        if args.name:
            raise BadInput(f"fama models list: takes no NAME; leave {args.name} out")
        return _list()
    if not args.name:
        raise BadInput(f"fama models {args.action}: give a NAME; `fama models list` shows them")
    if args.action == "pull":
        from fama.models.weights.storage import pull

        print(pull(args.name))
        return 0
    if not 0 <= args.port <= 65535:
        raise BadInput(f"--port {args.port}: give a number from 0 (any free port) to 65535")
    for name, least in (("context", 1), ("slots", 1), ("threads", 0)):
        if (given := getattr(args, name)) < least:
            raise BadInput(f"--{name} {given}: give a number of at least {least}")
    if args.backend == "vllm":
        refuse_unused(args, _LLAMA, "is for --backend llama.cpp; vLLM takes --flags")
    else:
        refuse_unused(args, _VLLM, "is for --backend vllm")
    return _serve_vllm(args) if args.backend == "vllm" else _serve_llama(args)


def _list() -> int:
    from fama.commands.terminal import Column, console, names, numbers, print_note, print_table
    from fama.models.weights.catalogue import DEFAULT_MODEL, MODELS
    from fama.models.weights.storage import cache_folder, is_present

    rows = []
    for model in MODELS:
        mark = " (default)" if model.name == DEFAULT_MODEL else ""
        here = "yes" if is_present(model) else "no"
        rows.append((model.name + mark, model.licence, f"{model.size / 1e6:,.0f} MB", here, model.purpose))
    screen = console()
    columns = [*names("name"), Column("licence", "words"), *numbers("size", "here"), Column("purpose", "words")]
    print_table(screen, columns, rows)
    print_note(screen, f"weights are kept in {cache_folder()}")
    return 0


def _serve_llama(args: argparse.Namespace) -> int:
    from fama.models.servers.llama_cpp import ServerSpec, serve
    from fama.models.weights.storage import resolve

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


def _serve_vllm(args: argparse.Namespace) -> int:
    from fama.models.servers.vllm import VllmSpec, serve
    from fama.models.weights.storage import cache_folder

    if args.port == 0:
        raise BadInput("--port 0: vLLM needs a port of its own; give a number up to 65535")
    try:
        more = tuple(shlex.split(args.flags))
    except ValueError as error:
        raise BadInput(f"--flags {args.flags!r}: {error}; close the quotation") from None
    if not args.wait > 0:
        raise BadInput(f"--wait {args.wait:g}: give a number of seconds above 0")
    spec = VllmSpec(args.name, args.port, args.context, args.tool_parser, more)
    record = Path(args.record) if args.record else cache_folder() / "servers" / f"{args.port}.json"
    print("starting vLLM on this machine only, until Ctrl-C", flush=True)
    try:
        with serve(spec, record, args.wait, report=lambda line: print(line, flush=True)) as (served, process):
            print(f"vLLM {served.version} answers after {served.seconds_to_ready:.0f} s; record: {record}")
            print(f"base_url: {served.base_url}", flush=True)
            code = process.wait()
    except KeyboardInterrupt:
        print("stopped")
        return 0
    raise FamaError(f"vLLM ended by itself with code {code}; its own messages above say why")
