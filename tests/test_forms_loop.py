"""A pool with two forms of a helper through the whole loop, with a scripted model of one known flaw."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fama import cli
from fama.episodes.outcome_table import read_outcomes
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.mining.records import REPAIRS, Repair
from fama.models.base import ChatReply, ChatRequest
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.selection.router.checkpoint import read_manifest
from fama.subsets import is_admissible
from tests.support.scripted_backbone import quitter

TRAIN, TEST = 24, 6
POOL = ("TSA", "TSA:template", "Verifier")
HELPERS = 'helpers={pool: [TSA, "TSA:template", Verifier], form: llm, forms: {Verifier: template}}'
COMMON = ("model.name=scripted:loop", "domain=shop", HELPERS)


class Hinted(ScriptedModel):
    """The backbone that gives up at a busy tool; asked as a helper, it says to call that tool again."""

    def __init__(self) -> None:
        self._agent = quitter("scripted:loop", "shop", {"train": TRAIN, "test": TEST})
        super().__init__("scripted:loop", self._note)

    async def complete(self, request: ChatRequest) -> ChatReply:
        return (
            await super().complete(request)
            if request.role.startswith("helper:")
            else await self._agent.complete(request)
        )

    def _note(self, request: ChatRequest) -> str:
        *_, action, heard, _question = (str(message["content"]) for message in request.messages)
        return f"{json.loads(action)['tool']} again" if '"busy' in heard else "none"


@pytest.fixture(autouse=True)
def backbone() -> Iterator[None]:
    SCRIPTED.add("loop", Hinted())
    yield
    SCRIPTED.remove("loop")


def fama(*arguments: str) -> None:
    assert cli.main(arguments) == 0


def solved(episodes: list[Episode]) -> set[str]:
    return {episode.task_id for episode in episodes if episode.outcome.status == "success"}


def test_run_outcomes_mine_train_select_compare_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = (*COMMON, "split=train", f"tasks={TRAIN}")
    fama("run", *train, "--out", str(tmp_path / "plain"))
    easy = solved(list(read_episodes(tmp_path / "plain")))
    assert 0 < len(easy) < TRAIN

    fama("run", *train, "selector.name=all", "--out", str(tmp_path / "all"))
    helped = list(read_episodes(tmp_path / "all"))
    assert {decision.subset for episode in helped for decision in episode.decisions} == {("TSA", "Verifier")}
    assert len(solved(helped)) == TRAIN
    fama("run", *train, "selector={name: fixed, options: {subset: [TSA:template]}}", "--out", str(tmp_path / "one"))
    formed = list(read_episodes(tmp_path / "one"))
    assert solved(formed) == easy and {d.subset for e in formed for d in e.decisions} == {("TSA:template",)}
    assert {note.helper for e in formed for d in e.decisions for note in d.notes} == {"TSA:template"}
    assert {row.role for e in helped for row in e.ledger} == {"agent", "helper:TSA"}
    assert {row.role for e in formed for row in e.ledger} == {"agent"}

    table = tmp_path / "outcomes" / "outcomes.parquet"
    fama("outcomes", *train, "per_task=99", "--out", str(table.parent))
    rows = read_outcomes(table)
    assert {row.subset for row in rows} == {
        *("", "TSA", "TSA:template", "Verifier", "TSA+Verifier", "TSA:template+Verifier")
    }
    assert {row.pool for row in rows} == {"+".join(POOL)} and {row.propensity for row in rows} == {1.0}
    mending = {"TSA", "Verifier", "TSA+Verifier", "TSA:template+Verifier"}
    assert all(row.success == (row.subset in mending or row.task_id in easy) for row in rows)

    fama("mine", str(tmp_path / "plain"), "solved=1", "exact=0", "--out", str(tmp_path / "repairs"))
    repairs = [Repair.model_validate_json(line) for line in (tmp_path / "repairs" / REPAIRS).open()]
    failed = [record for record in repairs if record.kind == "failed"]
    assert len(failed) == TRAIN - len(easy)
    for record in failed:
        assert record.pool == POOL and record.verdict == "repaired"
        assert record.members in (("TSA",), ("Verifier",))
        tried = {one.members for one in record.interventions}
        assert {("TSA",), ("TSA:template",), ("Verifier",)} <= tried
        assert all(is_admissible(members, POOL) for members in tried)

    router = tmp_path / "router"
    pool = "data.pool=[TSA,TSA:template,Verifier]"
    small = ("vectors={source: hashed, buckets: 256, components: 4}", "linear={strengths: [0.1], folds: 2}")
    fama("train", f"data.outcomes=[{table}]", pool, *small, "kind=linear", "--out", str(router))
    assert read_manifest(router).pool == POOL
    capsys.readouterr()
    fama("select", "--router", str(router), "--episodes", str(tmp_path / "plain"), "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines and all(
        is_admissible(line["subset"], POOL) and set(line["probabilities"]) == set(POOL) for line in lines
    )

    arms: list[dict[str, Any]] = [
        {"name": "none"},
        {"name": "all"},
        {"name": "fixed", "label": "TSA:template", "options": {"subset": ["TSA:template"]}},
        {"name": "random", "options": {"mean_size": 1.5}},
        {"name": "best_fixed"},
        {"name": "linear", "options": {"checkpoint": str(router)}},
    ]
    out = tmp_path / "comparison"
    compare = (*COMMON, "split=test", f"tasks={TEST}", "trials=2", "bootstrap=200", f"outcomes={table}")
    fama("compare", *compare, f"arms={json.dumps(arms)}", "--out", str(out))
    by_arm: dict[str, list[Episode]] = {}
    for episode in read_episodes(out):
        by_arm.setdefault(str(episode.selector), []).append(episode)
        assert all(is_admissible(decision.subset, POOL) for decision in episode.decisions)
    assert by_arm.keys() == {"none", "all", "TSA:template", "random", "best_fixed", "linear"}
    assert solved(by_arm["all"]) == solved(by_arm["linear"]) >= solved(by_arm["TSA:template"]) == solved(by_arm["none"])

    fama("report", str(out))
    page, notes = ((out / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    assert "TSA:template" in page and "TSA:template" in notes
    tables = [path.read_text(encoding="utf-8") for path in (out / "tables").glob("*.tex")]
    assert any("TSA:template" in text for text in tables)
    assert not any(":" in path.name for path in tmp_path.rglob("*"))

    replayed = (*COMMON, "split=train", f"tasks={TRAIN}", f"replay={table}", f"outcomes={table}", "bootstrap=200")
    replay_arms = json.dumps([arm for arm in arms if arm["name"] != "random"])
    fama("compare", *replayed, f"arms={replay_arms}", "--out", str(tmp_path / "replayed"))
    found = json.loads((tmp_path / "replayed" / "comparison.json").read_text(encoding="utf-8"))
    qualities = {arm["arm"]: arm["selection"] for arm in found["arms"]}
    assert set(qualities["all"]["f1"]) == set(POOL)
    assert all(quality["executed"] == TRAIN for quality in qualities.values())  # every choice is in the grid


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("helpers.pool=[TSA:nonsense, Verifier]",), "'TSA:nonsense': TSA has no form 'nonsense'; the forms are"),
        (("helpers.pool=[Nobody:template, Verifier]",), "unknown helper 'Nobody'; known: "),
        (("helpers.pool=[TSA:llm, TSA:llm, Verifier]",), "'TSA:llm' is listed twice"),
        (("helpers.pool=[TSA: template]",), "helpers.pool.0: Input should be a valid string"),
        (
            ("selector={name: fixed, options: {subset: [TSA, TSA:template]}}",),
            "selector.options.subset: TSA and TSA:template are forms of one helper and exclude each other; keep one",
        ),
        (
            ("selector={name: linear, options: {checkpoint: checkpoints/helpdesk-linear}}",),
            "trained for the pool DCE+TSA+TOR+Planner+Verifier+Memory, this run has TSA+TSA:template+Verifier; ",
        ),
    ],
)
def test_bad_members_end_in_one_line(
    changes: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(("run", *COMMON, "tasks=1", *changes, "--out", str(tmp_path / "run"))) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
