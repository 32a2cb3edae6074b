"""Kills commands at random moments until so many kills are counted, and gives back what the folders then hold."""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fama.randomness import generator

DRIVER = Path(__file__).with_name("crash_driver.py")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """The end of a command: -9 is killed. ``seconds`` are those it lived."""

    code: int
    events: int
    seconds: float
    stderr: str


@cache
def _driver(setup: str) -> subprocess.Popen[str]:
    """Start a driver process, which serves until this process ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, str(DRIVER), f"tests.support.crash_setups:{setup}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    atexit.register(process.communicate)  # its input ends, so it does
    return process


def drive(folder: Path, setup: str, steps: Sequence[dict[str, Any]]) -> list[Ended]:
    """Run the steps one after the other in children of the driver process."""
    folder.mkdir(parents=True, exist_ok=True)
    process = _driver(setup)
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps({"folder": str(folder), "steps": list(steps)}) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, f"the driver ended with code {process.wait()}"
    return [Ended(**found) for found in json.loads(answer)]


def kill_until(
    kills: int,
    folder: Path,
    setup: str,
    command: Callable[[Path], list[str]],
    unbroken: Ended,
    *,
    each: int = 4,
    first: dict[str, Any] | None = None,
    resume: tuple[str, ...] = (),
) -> tuple[list[Path], int]:
    """Run the command into fresh folders, killed up to ``each`` times in each, then once to its end.

    Two of three kills are at a random event, one at a random time within the seconds of the unbroken run. ``first`` is
    a step that comes first in every folder. ``resume`` are flags that ask for going on; where there is nothing to go on
    from, the command goes without them. Returns the folders and how many kills there were.
    """
    rng = generator(0, "faults", setup, folder.name)
    outs: list[Path] = []
    killed = 0
    while killed < kills:
        out = folder / f"out{len(outs)}"
        outs.append(out)
        steps: list[dict[str, Any]] = [{**first, "argv": command(out)}] if first else []
        for _ in range(min(each, kills - killed)):
            moment = (
                {"event": rng.randint(1, unbroken.events)}
                if rng.random() < 2 / 3
                else {"seconds": unbroken.seconds * rng.random()}
            )
            steps.append({"argv": command(out), **moment})
        steps.append({"argv": command(out)})
        for step in steps[1:] if resume else ():
            step |= {"argv": [*command(out), *resume], "otherwise": command(out)}
        ends = drive(folder, setup, steps)
        assert ends[-1].code == 0, ends[-1].stderr
        assert {end.code for end in ends[:-1]} <= {0, -9}, [end.stderr for end in ends]
        killed += sum(end.code == -9 for end in ends)
    return outs, killed
