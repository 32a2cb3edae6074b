"""Profile the CPU time of run, diagnose, train and compare.

    python perf/profiles.py

runs each command in a process of its own and looks at its Python stack every five milliseconds of CPU time (the
standard library's ``ITIMER_PROF``; samples, so that short calls are not made to look dear). A sample belongs to the
innermost function of the project on the stack; ``in`` is the package that it had called, if any. ``run`` asks a
scripted model on a SYNTHETIC world, ``diagnose`` reads committed episodes without a judge, ``train`` the committed
outcome table, ``compare`` a SYNTHETIC table. Nothing else should run meanwhile.
"""

import argparse
import gzip
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from perf import loop_overhead, replay_speed
from perf.record import ROOT, parser, save, timed

INTERVAL = 0.005
PROJECT = ("fama", "training", "eval", "perf")
OUTCOMES = ROOT / "results" / "helpdesk" / "outcomes-train.parquet"
EPISODES = ROOT / "results" / "helpdesk" / "outcomes-train.episodes.jsonl.gz"

CodePlace = tuple[str, str]


def place_of(frame: types.FrameType | None) -> CodePlace:
    """Return the innermost function of the project on a stack and the package that it had called, or empty strings."""
    inside = ""
    while frame is not None:
        file, package = _belongs(frame.f_code.co_filename)
        if file:
            name = frame.f_code.co_name
            return f"{file} {'imports' if name == '<module>' else name}", inside
        inside = package or inside
        frame = frame.f_back
    return "", inside


@cache
def _belongs(filename: str) -> tuple[str, str]:
    """Return the project's file or the installed package of some code; else, and for the sampler, empty strings."""
    path = Path(filename)
    if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PROJECT and filename != __file__:
        return path.relative_to(ROOT).as_posix(), ""
    parts = path.parts
    return "", parts[parts.index("site-packages") + 1].removesuffix(".py") if "site-packages" in parts else ""


def sampled(work: Callable[[], object]) -> tuple[float, dict[CodePlace, float]]:
    """Return the CPU seconds of the work, in all and by place.

    A sample stands for the CPU time since the one before: while a library computes, Python takes no signal, and a long
    call would count once.
    """
    found: dict[CodePlace, float] = {}
    start = last = time.process_time()

    def take(_: int, frame: types.FrameType | None) -> None:
        nonlocal last
        now, place = time.process_time(), place_of(frame)
        found[place] = found.get(place, 0.0) + now - last
        last = now

    signal.signal(signal.SIGPROF, take)
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        work()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
    return time.process_time() - start, found


def place_rows(what: str, seconds: float, found: dict[CodePlace, float], top: int) -> list[dict[str, Any]]:
    """Return a row for each of the most expensive places, and one for the rest."""
    total = sum(found.values()) or 1.0
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    made: list[dict[str, Any]] = [
        {"what": what, "function": place or "(none of the project)", "in": inside, "share": round(spent / total, 3)}
        for (place, inside), spent in ranked[:top]
    ]
    rest = sum(spent for _, spent in ranked[top:])
    made.append({"what": what, "function": f"{max(len(ranked) - top, 0)} more", "share": round(rest / total, 3)})
    made[0]["CPU seconds"] = round(seconds, 2)
    return made


def profiled_commands(folder: Path, quick: bool) -> dict[str, list[str]]:
    """Return the profiled commands by name: arguments of ``--child``."""
    with gzip.open(EPISODES, "rb") as packed, (folder / "episodes.jsonl").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    replay_speed.prepare(folder, 4 if quick else 100)
    config = replay_speed.write_comparison_config(folder, 4 if quick else 100)
    train = ["train", f"data.outcomes=[{OUTCOMES}]", "trainer.wandb=disabled", "trainer.progress=false"]
    hashed = ["kind=linear", "vectors.source=hashed", "linear.strengths=[0.03]"]
    router = [*train[:1], f"data.outcomes=[{folder / 'train.parquet'}]", *hashed, "--out", str(folder / "router")]
    timed("-m", "fama", *router)
    found = {
        "fama run, all helpers": ["loop", "2" if quick else "100"],
        "fama diagnose": ["diagnose", str(folder), "--judge", "none", "--out", str(folder / "labels")],
        "fama train, linear": [*train, *(hashed if quick else ["kind=linear"]), "--out", str(folder / "linear")],
        "fama train, encoder": [*train, "kind=encoder", "optimiser.epochs=2", "--out", str(folder / "encoder")],
        "fama compare": ["compare", "--config", str(config), "--out", str(folder / "compared")],
    }
    if quick:
        del found["fama train, encoder"]
    return found


def measure(arguments: Sequence[str]) -> None:
    """Print one line of JSON about one command."""
    from fama.cli import main as fama

    def work() -> None:
        if arguments[0] == "loop":
            loop_overhead.run_loop([15] * int(arguments[1]), "all")
        elif fama(arguments):
            raise SystemExit(f"fama {' '.join(arguments)} failed")

    seconds, found = sampled(work)
    print()
    print(json.dumps({"seconds": seconds, "samples": [[*place, spent] for place, spent in found.items()]}))


def main() -> int:
    """Profile every command and write the table."""
    args = parser(__doc__)
    args.add_argument("--top", type=int, default=5, help="places a command")
    args.add_argument("--quick", action="store_true", help="small sizes and no encoder: does it run at all?")
    args.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    wanted = args.parse_args()
    if wanted.child:
        measure(wanted.child)
        return 0
    made: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for what, arguments in profiled_commands(Path(name), wanted.quick).items():
            done = subprocess.run(
                [sys.executable, __file__, "--child", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return 1
            line = json.loads(done.stdout.splitlines()[-1])
            samples = {(place, inside): spent for place, inside, spent in line["samples"]}
            made += place_rows(what, line["seconds"], samples, wanted.top)
    note = "shares of CPU time, sampled; scripted model, committed episodes and outcomes, synthetic comparison"
    save("profiles", made, ("numpy", "torch", "scikit-learn", "pydantic"), wanted.out, note)
    print("no limits: shares only")
    return 0


if __name__ == "__main__":
    sys.exit(main())
