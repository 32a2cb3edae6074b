"""The timing scripts run, on a small table; their timings mean nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_replay_script_replays_and_reports() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "benchmarks/replay_speed.py", "--tasks", "4"], cwd=ROOT, capture_output=True, text=True
    )
    assert "800 synthetic rows of 4 tasks, 12 arms" in done.stdout, done.stderr
    assert "compare " in done.stdout and "report " in done.stdout
