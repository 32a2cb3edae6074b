"""A process of its own that runs ``fama`` commands in children and kills them (SIGKILL) at given moments.

Started as a script, ``python crash_driver.py module:function``: what is slow to load is loaded once. Then every line of
standard input is a JSON plan::

    {"folder": "...", "steps": [{"argv": [...], "event": 7}, {"argv": [...]}]}

Each step is one command in a forked child. ``event`` kills it just before its n-th event: a file opened for writing,
renamed or removed, a sync to disk (before and after), an answer of the scripted model. ``seconds`` kills it from
outside after so long. Neither lets it end. ``env`` is added to its environment. ``otherwise`` is the command that
follows when the step is refused (exit code 2). The answer to a plan is a line on standard output: a JSON list with the
exit code of each step (-9: killed), the number of its events, its seconds and its error output.
"""

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR


class Moments:
    """Counts the events of a process and kills it at one of them; ``tell`` gets the count so far."""

    def __init__(self, fatal: int, tell: Callable[[int], object]) -> None:
        self.count = 0
        self.fatal = fatal
        self._tell = tell
        self._busy = False

    def event(self) -> None:
        """One more; the fatal one is the process's last."""
        self.count += 1
        self._tell(self.count)
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook of the interpreter."""
        if name == "open":
            path, mode, flags = arguments
            fresh = isinstance(path, str) and (flags & _WRITING) and not path.startswith(("/dev", "/proc"))
            if fresh:
                self.event()
        elif name in ("os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "shutil.rmtree"):
            self.event()

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call with an event before and after it."""

        def wrapped(*args: Any, **options: Any) -> Any:
            self.event()
            value = call(*args, **options)
            self.event()
            return value

        return wrapped


def _child(step: dict[str, Any], setup: Callable[[Callable[[], None]], None], told: int, errors: int) -> None:
    from fama.cli import main

    os.environ.update(step.get("env", {}))
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    moments = Moments(int(step.get("event", 0)), lambda n: os.pwrite(told, b"%12d" % n, 0))
    setup(moments.event)
    sys.addaudithook(moments.audit)
    os.fsync = moments.around(os.fsync)
    code = 1
    try:
        code = main(step["argv"])
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(step: dict[str, Any], setup: Callable[[Callable[[], None]], None], folder: Path) -> dict[str, Any]:
    """One step in a child."""
    told = os.open(folder / "events", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    errors = os.open(folder / "errors", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _child(step, setup, told, errors)
    if "seconds" in step:
        time.sleep(step["seconds"])
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    seconds = time.monotonic() - started
    found = {
        "code": os.waitstatus_to_exitcode(status),
        "events": int(os.pread(told, 12, 0) or b"0"),
        "seconds": seconds,
        "stderr": (folder / "errors").read_text(encoding="utf-8", errors="replace"),
    }
    os.close(told)
    os.close(errors)
    return found


def drive(where: str) -> None:
    """Load the setup, then run plan after plan and tell what came out, until the input ends."""
    module, _, name = where.partition(":")
    setups = importlib.import_module(module)
    setups.load(name)
    setup = getattr(setups, name)
    for line in sys.stdin:
        plan = json.loads(line)
        results = []
        for step in plan["steps"]:
            found = run(step, setup, Path(plan["folder"]))
            if found["code"] == 2 and "otherwise" in step:
                found = run({**step, "argv": step["otherwise"]}, setup, Path(plan["folder"]))
            results.append(found)
        sys.stdout.write(json.dumps(results) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    drive(sys.argv[1])
