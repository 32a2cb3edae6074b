"""The ``fama`` command: one module per command, imported only when the command runs."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from fama import __version__
from fama.errors import BadInput, FamaError, missing_extra
from fama.redaction import RedactingFormatter, redact
from fama.registry import plug_ins_named

#: command → (module with ``add_arguments`` and ``main``, one line of help)
COMMANDS = {
    "models": ("fama.commands.models", "list, download or serve local models"),
    "benchmarks": ("fama.commands.benchmarks", "list benchmarks, name checkouts, replay logs as a check"),
    "run": ("fama.commands.run", "run tasks with one selector → episodes.jsonl"),
    "cache": ("fama.commands.cache", "replies of recorded episodes → response cache, for further arms"),
    "import": ("fama.commands.imports", "read foreign logs → episodes.jsonl"),
    "show": ("fama.commands.show", "read episodes in the terminal, with the notes that helpers gave"),
    "score": ("eval.commands.score", "success, pass^k and tokens of episodes"),
    "diagnose": ("eval.commands.diagnose", "label failed episodes → failures.jsonl"),
    "mine": ("fama.commands.mine", "execute notes on failed episodes → repairs.jsonl"),
    "effects": ("fama.commands.effects", "what single notes fixed and broke in mined episodes"),
    "mine-check": ("eval.commands.mine_check", "mined repairs against the grid of helper subsets"),
    "annotate": ("fama.commands.annotate", "a local web page to label failures by hand"),
    "profile": ("eval.commands.profile", "shares of failure categories with intervals; drift between two logs"),
    "agree": ("eval.commands.agree", "how far annotators agree on failures: κ, α, steps"),
    "combine": ("eval.commands.combine", "labels of several annotators → one label each, and what is disputed"),
    "helpers": ("eval.commands.helpers", "list helpers; group unexplained failures and draft a helper from a group"),
    "outcomes": ("eval.commands.outcomes", "run randomised helper subsets → outcomes.parquet"),
    "train": ("training.command", "train a router → checkpoint folder"),
    "ablate": ("eval.commands.ablate", "train kinds, losses and sizes of routers → one table on unseen tasks"),
    "select": ("fama.commands.select", "show what a router selects for logged episodes"),
    "serve": ("fama.commands.serve", "an OpenAI-compatible endpoint that puts notes into any agent's requests"),
    "compare": ("eval.commands.compare", "arms on the same tasks → comparison.json"),
    "value": ("eval.commands.value", "estimate selectors from logged subsets with propensities"),
    "report": ("eval.commands.report", "comparison → report.html, tables, figures"),
    "export": ("fama.commands.export", "episodes → Inspect logs or ACEBench results; a router → a hub folder"),
    "demo": ("eval.commands.demo", "the whole loop, small, with a real local model"),
}

EPILOG = "Exit codes: 0 done, 1 the work failed (what was finished is kept), 2 bad input."


class _Once(argparse.Action):
    """Stores a flag's value; given again with another one, the last would win unseen."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        given = vars(parser).setdefault("given", {})
        if option is not None and (first := given.setdefault(self.dest, values)) is not values and first != values:
            parser.error(f"{option} is given twice, as {given[self.dest]} and {values}; keep one")
        setattr(namespace, self.dest, values)


class _CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit code 2, like every other bad input."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("action", None, _Once)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not arguments or arguments[0] not in COMMANDS:
        if arguments and not arguments[0].startswith("-"):
            return _complain(f"unknown command {arguments[0]!r}; known: {', '.join(COMMANDS)}", 2)
        parser.parse_args(arguments or ["--help"])
        return 0
    name = arguments[0]
    for stream, otherwise in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=otherwise)  # a terminal that lacks a sign ends no command
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    _stop_on_terminate()
    try:
        module = _load(COMMANDS[name][0])
        command = _CommandParser(prog=f"fama {name}", description=COMMANDS[name][1])
        module.add_arguments(command)
        with plug_ins_named():
            code: int = module.main(command.parse_intermixed_args(arguments[1:]))
    except BadInput as error:
        return _complain(str(error), 2)
    except FamaError as error:
        return _complain(str(error), 1)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept, the same command goes on from there", 1)
    except ModuleNotFoundError as error:
        found = missing_extra(error, f"fama {name}")
        if found is None:
            raise
        return _complain(str(found), 2)
    except (FileExistsError, NotADirectoryError) as error:
        return _complain(f"{error.filename}: is a file where a folder is needed; give the path of a folder", 2)
    except IsADirectoryError as error:
        return _complain(f"{error.filename2 or error.filename}: is a folder; give the path of a file", 2)
    except UnicodeEncodeError as error:
        return _complain(f"{error.object!r:.200} cannot be kept as UTF-8; give it another name", 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}; what was finished is kept", 1)
    return code


def _stop_on_terminate() -> None:
    """Let SIGTERM, which job schedulers send, end a command as Ctrl-C does: keep what is finished, name what is not."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _as_interrupt)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)  # an event loop has its own, which ends tasks where they wait
    if not callable(handler):  # ignored, as the shell has it for jobs in the background
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="fama",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Failure-aware selection of helper agents for small tool-use LLMs.\n\n"
            f"commands (fama COMMAND --help tells more):\n{listing}"
        ),
        epilog=EPILOG,
        usage="fama COMMAND [options]",
    )
    parser.add_argument("--version", action="version", version=f"fama {__version__}")
    return parser


def _load(path: str) -> Any:
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        top = path.partition(".")[0]
        if error.name != top:
            raise
    root = Path(__file__).resolve().parents[1]
    if not (root / top / "__init__.py").is_file():
        raise BadInput(f"this command needs the folder {top}/ of a checkout; install with: pip install -e .")
    sys.path.insert(0, str(root))
    return import_module(path)


def _complain(text: str, code: int) -> int:
    from fama.commands.terminal import printable  # names and replies of others stand in messages, too

    sys.stderr.write(f"fama: {printable(' '.join(redact(text).split()))}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
