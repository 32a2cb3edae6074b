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
from fama.settings import RunSettings

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/compare/demo.yaml"

#: repairs of training tasks, mined earlier with this model, that the router learns from beside the one mined here
MINED = ROOT / "results/helpdesk/repairs-train"
#: the plain agent's episodes that were mined
PLAIN = ROOT / "results/helpdesk/repairs-train/plain"
#: a training task that the plain agent fails and that few notes repair
TASK = "shop-train-0010"

#: settings of the comparison that the run of that training task does not take over
OF_TEST_TASKS = frozenset({"benchmark", "domain", "options"})
#: test tasks a demo size takes, each with three arms; an episode takes up to a minute on two slow cores
SIZES = {"tiny": 1, "small": 2, "large": 24}


@dataclass(frozen=True)
class DemoStep:
    """One command of the demo: a title, what is live in it, and the words after ``fama``."""

    title: str
    says: str
    words: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--size", choices=tuple(SIZES), default="small", help="how many test tasks (default: small)")
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder of everything the demo writes")
    told = "settings of configs/compare/demo.yaml; also of the run that is mined, where it has them"
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=told)


def steps(out: Path, size: str, overrides: tuple[str, ...]) -> list[DemoStep]:
    """Return the demo's commands, in order."""
    plain, repairs, router, folder = out / "plain", out / "repairs", out / "router", out / "comparison"
    kept = f"model.cache={out / 'cache'}"  # arms that decide alike ask the same; each call is answered once
    both = (item for item in overrides if _top_key(item) in RunSettings.model_fields.keys() - OF_TEST_TASKS)
    one = ("--config", str(ROOT / "configs/run/helpdesk.yaml"), "split=train", f"tasks=[{TASK}]", kept, *both)
    mine = ("--config", str(ROOT / "configs/mine/helpdesk.yaml"), "solved=1", "exact=0", "budget.calls=120")
    sources = [{"repairs": str(MINED), "episodes": str(PLAIN)}, {"repairs": str(repairs), "episodes": str(plain)}]
    train = ("--config", str(ROOT / "configs/train/turn.yaml"), f"data.repairs={_yaml(sources)}")
    compare = ("--config", str(CONFIG), f"tasks={SIZES[size]}", kept, *overrides, f"arms={_arms(router)}")
    return [
        DemoStep("Plain agent", "live: the local model alone, on a training task", ("run", *one, "--out", str(plain))),
        DemoStep(
            "Mine its failure",
            "live: the episode is replayed, a helper's note is put before a decision, and where the action changes the "
            "episode runs on to its end",
            ("mine", str(plain), *mine, "--out", str(repairs)),
        ),
        DemoStep(
            "The failed episode, with its repair",
            "the marked decision: the note, and the action with it",
            ("show", str(plain), "--repairs", str(repairs), "--chars", "160"),
        ),
        DemoStep(
            "Train a router for every turn",
            "from that repair and from those of other training tasks, which this model and `fama mine` made earlier",
            ("train", *train, "--out", str(router)),
        ),
        DemoStep(
            "Test tasks: none, all helpers, the router",
            "live: the router chooses before every decision; users speak in words that it has not seen",
            ("compare", *compare, "--out", str(folder)),
        ),
        DemoStep(
            "What the router chose, turn by turn",
            "an episode of the comparison, with the notes that it asked for",
            ("show", str(folder), "--arm", "learned", "--chars", "160"),
        ),
        DemoStep("Report", "from the comparison just made", ("report", str(folder))),
    ]


def _top_key(override: str) -> str:
    return override.partition("=")[0].lstrip("-").partition(".")[0].strip()


def _arms(router: Path) -> str:
    """Return the arms of the comparison as YAML; ``learned`` is the router that was trained a step before."""
    return _yaml([{"name": "none"}, {"name": "all"}, {"name": "learned", "options": {"checkpoint": str(router)}}])


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()


def main(args: argparse.Namespace) -> int:
    """Run the steps until one fails; returns its exit code."""
    out = Path(args.out)
    console = Console(stderr=False)
    overrides = tuple(args.overrides)
    for item in overrides:
        if (key := _top_key(item)) in ("tasks", "split", "arms"):
            raise BadInput(f"{item}: the demo sets {key} itself; leave it out (--size says how many tasks)")
    if not MINED.is_dir():
        raise BadInput(f"{MINED}: is missing; the demo trains on it, so get the whole checkout")
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
        f"Open {out / 'comparison' / 'report.html'} in a browser. --size large (make demo SIZE=large) runs more tasks.",
        highlight=False,
    )
    console.print(
        "Few tasks, few repairs: intervals are wide, and the router may ask nobody. Mine more, train again.",
        style="dim",
    )
    return 0


def _shown(words: tuple[str, ...]) -> str:
    here = f"{Path.cwd()}/"
    return " ".join(f"'{word}'" if set(word) & set("[{ ") else word for word in words).replace(here, "")
