"""The examples of CONTRIBUTING.md run as they stand there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from eval.compare.comparison import read_comparison
from fama import cli
from fama.agents.strategies.base import STRATEGIES
from fama.diagnosis.detectors.base import DETECTORS, collect_findings
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.dialogue.roles import RULES, stated_roles
from fama.envs.base import BENCHMARKS
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.episodes.store import read_episodes
from fama.helpers.base import HELPERS, HelperContext
from fama.helpers.pool import build_pool
from fama.mining.schedule import Schedule, points_at
from fama.mining.search.base import SEARCHES, Effect, Run, World
from fama.models.scripted import SCRIPTED
from fama.selection.base import SELECTORS, SelectorContext
from fama.selection.router.checkpoint import read_manifest
from fama.settings import HelperSettings
from fama.subsets import Subset
from tests.support import diagnosis_cases as cases
from tests.support.asking import choose
from tests.support.scripted_backbone import quitter

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
STATE = VisibleState(policy="", tools=(), messages=())


def block(language: str, name: str) -> str:
    found = re.findall(rf"```{language} {name}\n(.*?)```", TEXT, re.S)
    assert len(found) == 1
    assert isinstance(found[0], str)
    return found[0]


def run(name: str) -> None:
    exec(compile(block("python", name), f"CONTRIBUTING.md:{name}", "exec"), {"__name__": name})  # noqa: S102


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for registry, name in (
        (HELPERS, "Politeness"),
        (SELECTORS, "long_talk"),
        (IMPORTERS, "pairs"),
        (BENCHMARKS, "echo"),
        (STRATEGIES, "unopened"),
        (DETECTORS, "apology"),
        (SEARCHES, "first"),
    ):
        registry.remove(name)


#: Training tasks that the backbone knows.
TASKS = 24
COMMON = ("model.name=scripted:quitter", "domain=shop")
POOL = "helpers.pool=[Politeness, Verifier]"
SMALL = ("vectors={source: hashed, buckets: 64, components: 2}", "linear={strengths: [0.3], folds: 2}")


@pytest.fixture
def backbone() -> Iterator[None]:
    SCRIPTED.add("quitter", quitter("scripted:quitter", "shop", {"train": TASKS, "test": 4}))
    yield
    SCRIPTED.remove("quitter")


def fama(*arguments: str) -> None:
    assert cli.main(arguments) == 0


def test_helper_from_run_to_report(tmp_path: Path, backbone: None) -> None:
    run("helper")
    plain, labels, table = tmp_path / "plain", tmp_path / "labels", tmp_path / "outcomes" / "outcomes.parquet"
    train = (*COMMON, "split=train", f"tasks={TASKS}", POOL)
    fama("run", *COMMON, "split=test", "tasks=2", POOL, "selector.name=all", "--out", str(tmp_path / "all"))
    notes = [note for episode in read_episodes(tmp_path / "all") for d in episode.decisions for note in d.notes]
    assert "Greet the user." in [note.text for note in notes if note.helper == "Politeness"]
    failing = ("model.name=scripted:echo", "domain=shop", "split=train", "tasks=12", POOL)
    fama("run", *failing, "--out", str(plain))
    fama("diagnose", str(plain), "--judge", "none", "--out", str(labels))
    fama("outcomes", *train, "per_task=4", "--out", str(table.parent))

    of_labels = f"data.failures=[{{failures: {labels / 'failures.jsonl'}, episodes: {plain}}}]"
    coverage = "losses={outcome: 0, tokens: 0, coverage: 1, categories: 1}"
    pool = "data.pool=[Politeness, Verifier]"
    fama("train", of_labels, coverage, pool, *SMALL, "--out", str(tmp_path / "covering"))
    fama("train", f"data.outcomes=[{table}]", pool, *SMALL, "--out", str(tmp_path / "router"))
    assert read_manifest(tmp_path / "covering").forms is None  # labels are of no form
    assert read_manifest(tmp_path / "router").forms == {"Politeness": "template", "Verifier": "template"}
    for name, data, losses in (("labels", of_labels, coverage), ("table", f"data.outcomes=[{table}]", "seed=0")):
        variants = (
            "variants=[{name: linear, set: {kind: linear}}, {name: prior, set: {kind: prior, prior: {folds: 2}}}]"
        )
        shared = [f"train.{setting}" for setting in (data, losses, pool, *SMALL)]
        fama("ablate", variants, "bootstrap=100", *shared, "--out", str(tmp_path / f"ablate-{name}"))
        cells = json.loads((tmp_path / f"ablate-{name}" / "ablation.json").read_text(encoding="utf-8"))["cells"]
        assert {"linear", "prior"} <= {cell["variant"] for cell in cells}

    routers = [
        {"name": "linear", "label": name, "options": {"checkpoint": str(tmp_path / name)}}
        for name in ("covering", "router")
    ]
    arms = [{"name": "none"}, {"name": "fixed", "options": {"subset": ["Politeness"]}}, *routers]
    out = tmp_path / "compared"
    fama("compare", *COMMON, POOL, "split=test", "tasks=4", f"arms={json.dumps(arms)}", "--out", str(out))
    compared = read_comparison(out)
    assert compared.learned_arm == "covering"
    assert compared.arm("fixed").subsets == {"Politeness": 4}
    fama("report", str(out))
    assert "Politeness" in (out / "report.md").read_text(encoding="utf-8")


def test_selector_from_compare_to_report(tmp_path: Path, backbone: None) -> None:
    run("selector")
    arms, out = json.dumps([{"name": "none"}, {"name": "long_talk"}]), tmp_path / "compared"
    settings = (*COMMON, "split=test", "tasks=4", "cadence=turn", f"arms={arms}")
    fama("compare", *settings, "--out", str(out))
    assert read_comparison(out).arm("long_talk").one_off == ()
    assert {d.subset for e in read_episodes(out) if e.selector == "long_talk" for d in e.decisions} == {(), ("Memory",)}
    fama("report", str(out))
    assert "long_talk" in (out / "report.html").read_text(encoding="utf-8")
    assert not (out / "tables" / "one_off.tex").exists()  # nothing was set up


def test_a_helper_takes_three_files() -> None:
    named = re.findall(r"^\d\. `([^`]+)`", TEXT, re.M)
    assert named == ["fama/helpers/politeness.py", "fama/helpers/base.py", "tests/helpers/test_politeness.py"]
    assert '"DCE": "fama.helpers.dce:build",' in (ROOT / named[1]).read_text(encoding="utf-8")


async def test_helper() -> None:
    run("helper")
    pool = build_pool(HelperSettings(pool=("DCE", "Politeness")))
    assert (await pool["Politeness"].note(STATE, HelperContext())).text == "Greet the user."


def test_yaml_helper(tmp_path: Path) -> None:
    file = tmp_path / "tone.yaml"
    file.write_text(block("yaml", "helper"), encoding="utf-8")
    pool = build_pool(HelperSettings(pool=(str(file),), forms={str(file): "llm"}))
    assert pool["Tone"].covers == {"CM"}
    assert pool["Tone"].token_cap == 24


async def test_selector() -> None:
    run("selector")
    context = SelectorContext(helpers=build_pool(HelperSettings(pool=("TSA", "Memory"))))
    selection = await choose(SELECTORS.load("long_talk")(context), STATE)
    assert selection.subset == ()
    assert selection.probabilities == {"TSA": 0.0, "Memory": 0.0}


def test_importer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("importer")
    file = tmp_path / "pairs.jsonl"
    rows = [dict(question="2+2?", answer="4", passed=True), dict(question="3+3?", answer="7", passed=False)]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert cli.main(["import", "pairs", str(file), "--out", str(tmp_path / "out")]) == 0
    episodes = list(read_episodes(tmp_path / "out"))
    assert [e.outcome.status for e in episodes] == ["success", "failure"]
    assert cli.main(["score", str(tmp_path / "out")]) == 0
    assert "pairs" in capsys.readouterr().out
    file.write_text('{"question": "2+2?"}', encoding="utf-8")
    assert cli.main(["import", "pairs", str(file), "--out", str(tmp_path / "other")]) == 2
    assert "pairs.jsonl:1: field 'answer' is missing" in capsys.readouterr().err


def test_environment(tmp_path: Path) -> None:
    run("environment")
    arguments = ["benchmark=echo", "domain=words", "split=test", "tasks=2", "model.name=scripted:echo"]
    assert cli.main(["run", "--out", str(tmp_path / "out"), *arguments]) == 0
    episodes = list(read_episodes(tmp_path / "out"))
    assert [e.task_id for e in episodes] == ["apple", "pear"]
    assert all(e.outcome.reason for e in episodes)


def test_strategy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["split=test", "tasks=2", "model.name=scripted:echo", "strategy=unopened"]
    for command in ("run", "outcomes"):
        assert cli.main([command, "--out", str(tmp_path / command), *arguments]) == 2
        said = capsys.readouterr().err
        assert "unknown strategy 'unopened'; known: act, fc, react" in said
        assert not (tmp_path / command).exists()
    run("strategy")
    assert cli.main(["run", "--out", str(tmp_path / "out"), *arguments]) == 0
    assert {e.strategy for e in read_episodes(tmp_path / "out")} == {"unopened"}
    prompt = STRATEGIES.load("unopened")().prompt((Message(role="user", content="Hi."),), "", ())
    assert prompt.prefill == ""


def test_rules_of_an_environment(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(block("yaml", "rules"), encoding="utf-8")
    RULES.add("echo", file)
    stated_roles.cache_clear()
    try:
        assert stated_roles("echo", "words").by_tool == {"hang_up": "close"}
    finally:
        RULES.remove("echo")
        stated_roles.cache_clear()


def test_detector(tmp_path: Path) -> None:
    run("detector")
    said = cases.episode(cases.user("Cancel it."), cases.agent("Sorry, no."), cases.user("Bye."))
    (found,) = [e for e in collect_findings(Trace.of(said), load_taxonomy()) if e.source == "apology:sorry"]
    assert (found.step, found.quote) == (2, "Sorry, no.")


async def test_search() -> None:
    """One decision of two, at which one helper of two helps."""
    run("search")

    class Small:
        pool, steps, deterministic = ("A", "B"), 2, True

        async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
            return Effect(members, "act", turn == 1)

        async def run(self, schedule: Schedule) -> Run:
            good = schedule == points_at(1, ("B",))
            return Run(good, float(good), schedule, 2, len(schedule))

    assert await SEARCHES.load("first")(cast(World, Small()), 0)
