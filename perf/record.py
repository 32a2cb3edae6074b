"""Shared code of the timing scripts: hardware, versions and the file of a measurement."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "perf" / "results"


def parser(text: str | None) -> argparse.ArgumentParser:
    """Return a parser with ``--out``, the file that gets the measurement."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, metavar="FILE", help="JSON of the measurement (default: perf/results)")
    return made


def add_model(arguments: argparse.ArgumentParser) -> None:
    """Add the options of a script that asks a model: at an endpoint, or in this process."""
    default = "an OpenAI-compatible endpoint that reports cached tokens (default: in process)"
    arguments.add_argument("--url", help=default)
    arguments.add_argument("--model", default="qwen2.5-coder-1.5b", help="its name (default: %(default)s)")
    arguments.add_argument("--threads", type=int, default=0, help="of a model in process; 0 takes every core")


def save(name: str, rows: Sequence[Mapping[str, Any]], packages: Sequence[str], out: Path | None, note: str) -> None:
    """Write the rows with hardware, versions, command and date, and print the rows."""
    from fama.files import write_atomically
    from fama.provenance import git_commit

    found = {
        "name": name,
        "note": note,
        "command": " ".join(["python", os.path.relpath(sys.argv[0], ROOT), *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git_commit(),
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **{key: _version(key) for key in packages}},
        "rows": list(rows),
    }
    for row in rows:
        print("  ".join(f"{key} {_plain(value)}" for key, value in row.items()))
    write_atomically(out or RESULTS / f"{name}.json", json.dumps(found, indent=2) + "\n")


def conclude(limits: str, kept: bool) -> int:
    """Print as the last line whether the limits that a script states are kept; return its exit code."""
    print(f"limits: {limits}: {'kept' if kept else 'not kept'}")
    return 0 if kept else 1


class ProcessCost(NamedTuple):
    """Wall seconds and peak resident bytes of a process."""

    seconds: float
    peak: int


def timed(*command: str) -> ProcessCost:
    """Run Python with these arguments to its end."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)[:60]} failed with status {status}")
    return ProcessCost(time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def process_rows(steps: Mapping[str, ProcessCost]) -> list[dict[str, Any]]:
    """Return the rows of a measurement of processes, by what each does."""
    return [
        {"what": what, "seconds": round(step.seconds, 2), "peak MB": round(step.peak / 1e6)}
        for what, step in steps.items()
    ]


def environment() -> dict[str, str]:
    """Return this process' environment, with this checkout before what is installed."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def hardware() -> str:
    """Return processor, cores and memory of this machine."""
    model = platform.processor() or platform.machine()
    memory = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        kilobytes = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1])
        memory = f", {kilobytes / 2**20:.0f} GB"
    except (OSError, ValueError, IndexError):
        memory = ""
    return f"{model}, {os.cpu_count()} cores{memory}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(value: Any) -> str:
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1000 else str(value)
