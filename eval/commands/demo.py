"""``fama demo``: the whole loop, small, with a real local model.

Every step is a command that a user could type; the demo prints it, runs it, and goes on where an
interrupted one stopped, because every command resumes.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from fama import cli
from fama.errors import BadInput, FamaError
from fama.models.weights.storage import pull

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "results/helpdesk/outcomes-train.parquet"
CONFIG = ROOT / "configs/compare/demo.yaml"

#: the router that ships, trained on the whole table in the same way
SHIPPED = ROOT / "checkpoints/helpdesk-linear"

#: test tasks a demo size takes, each with four arms; an episode takes up to a minute on two slow cores
SIZES = {"tiny": 1, "small": 3, "large": 24}


@dataclass(frozen=True)
class Step:
    """One command of the demo: a title, what is live in it, and the words after ``fama``."""

    title: str
    says: str
    words: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of the command."""
    parser.add_argument("--size", choices=tuple(SIZES), default="small", help="how many test tasks (default: small)")
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder of everything the demo writes")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings of configs/compare/demo.yaml")


def steps(out: Path, size: str, overrides: tuple[str, ...]) -> list[Step]:
    """Return the demo's commands, in order."""
    folder, router = out / "comparison", out / "router"
    kept = f"model.cache={out / 'cache'}"  # arms that choose alike ask the same; each call is answered once
    compare = ("compare", "--config", str(CONFIG), "--out", str(folder), f"tasks={SIZES[size]}", kept, *overrides)
    train = ("train", "--config", str(ROOT / "configs/train/linear.yaml"), f"data.outcomes=[{TABLE}]")
    return [
        Step("Plain agent", "live: the local model alone, on test tasks", (*compare, "arms=[{name: none}]")),
        Step(
            "Why it failed",
            "live: evidence detectors read the failed episodes; no LLM is asked",
            ("diagnose", str(folder), "--out", str(out / "failures"), "--show", "2"),
        ),
        Step(
            "Train a router",
            "from the committed outcome table of training tasks, which this model produced earlier",
            (*train, "--out", str(router)),
        ),
        Step(
            "Prompted against learned",
            "live: the same model, tasks and seeds; the plain episodes are those from above",
            (*compare, f"arms={_arms(router)}"),
        ),
        Step("Report", "from the comparison just made", ("report", str(folder))),
    ]


def _arms(router: Path) -> str:
    """Return the arms of the comparison as a YAML value; ``learned`` is the router that was trained a step before."""
    arms = [
        {"name": "none"},
        {"name": "prompted", "options": {"form": "one_call"}},
        {"name": "learned", "options": {"checkpoint": str(router)}},
        {"name": "linear", "label": "shipped", "options": {"checkpoint": str(SHIPPED)}},
    ]
    return yaml.safe_dump(arms, default_flow_style=True, width=10_000).strip()


def main(args: argparse.Namespace) -> int:
    """Run the steps until one fails; returns its exit code."""
    out = Path(args.out)
    console = Console(stderr=False)
    overrides = tuple(args.overrides)
    if not TABLE.is_file():
        raise BadInput(f"{TABLE}: is missing; the demo trains on it, so get the whole checkout")
    if not any(item.startswith(("model.name=", "model.base_url=")) for item in overrides):
        pull("qwen2.5-coder-1.5b")
    start = time.monotonic()
    todo = steps(out, args.size, overrides)
    for number, step in enumerate(todo, 1):
        console.rule(f"[bold]{number}/{len(todo)}  {step.title}", align="left")
        console.print(f"{step.says}\n$ fama {_shown(step.words)}", style="dim", highlight=False, markup=False)
        sys.stdout.flush()
        code = cli.main(step.words)
        if code:
            raise FamaError(f"the demo stopped at {step.title!r}; fix that and run it again: it goes on from there")
    minutes = (time.monotonic() - start) / 60
    console.rule(f"[bold]Done in {minutes:.1f} minutes", align="left")
    console.print(
        f"Open {out / 'comparison' / 'report.html'} in a browser. SIZE=large runs more tasks.", highlight=False
    )
    console.print("Few tasks: the intervals are wide, and the results page has the full comparison.", style="dim")
    return 0


def _shown(words: tuple[str, ...]) -> str:
    here = f"{Path.cwd()}/"
    return " ".join(f"'{word}'" if set(word) & set("[{ ") else word for word in words).replace(here, "")
