"""Setup cost of a router whose data name the same episodes several times: every episode is paid once."""

from pathlib import Path
from typing import Any

import pytest

import training.data.cost
from fama.diagnosis.diagnose import SUMMARY, DiagnosisSummary, diagnose
from fama.episodes.jsonl import RecordStore
from fama.episodes.records import Episode, Outcome
from fama.episodes.spending import Spent
from fama.episodes.store import FAILURES, SET_ASIDE, read_episodes
from tests.support.mining_worlds import NAMED, POOL, mined, plain_run, puzzles
from training.data.cost import data_cost
from training.settings import TrainSettings


def paid(**data: Any) -> list[tuple[str, str, int | None]]:
    settings = TrainSettings.model_validate({"data": {"pool": POOL, **data}})
    return [(part.part, Path(part.source).name, part.tokens) for part in data_cost(settings)]


def tokens_of(folder: Path) -> dict[str, int]:
    return {one.task_id: sum(row.total_tokens or 0 for row in one.ledger) for one in read_episodes(folder)}


async def test_a_plain_run_behind_two_repair_folders_is_paid_once(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"], "o": NAMED["single"], "two": NAMED["two decisions"]}):
        run = await plain_run(tmp_path / "plain")
        await mined(run, tmp_path / "m1", tasks=["single"])
        await mined(run, tmp_path / "m2", tasks=["two"])
    first, second = ({"repairs": str(tmp_path / name), "episodes": str(run)} for name in ("m1", "m2"))
    assert [part[:2] for part in paid(repairs=[first])] == [("plain run", "plain"), ("mining", "m1")]
    spent = paid(repairs=[first, second])
    assert [part[:2] for part in spent] == [("plain run", "plain"), ("mining", "m1"), ("mining", "m2")]
    assert spent[0][2] == sum(tokens_of(run).values()) > 0
    assert [*spent[1:]] == [*paid(repairs=[first])[1:], *paid(repairs=[second])[1:]]


async def test_an_attempt_that_was_run_again_was_paid_too(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"]}):
        run = await plain_run(tmp_path / "plain")
    (once,) = tokens_of(run).values()
    (episode,) = read_episodes(run)
    lost = Outcome.model_validate({"status": "error", "boundary": "environment"})
    RecordStore(run / SET_ASIDE, Episode).append(episode.model_copy(update={"outcome": lost}))
    assert paid(plain=[str(run)], view="retrospective") == [("plain run", "plain", 2 * once)]
    assert paid(plain=[str(run / "episodes.jsonl")], view="retrospective") == [("plain run", "episodes.jsonl", once)]
    summary = await diagnose(run, tmp_path / "labels")
    assert summary.run_tokens == 2 * once and summary.errors_skipped == 0


async def test_a_plain_run_behind_labels_and_a_retrospective_table_is_paid_once(tmp_path: Path) -> None:
    with puzzles({"single": NAMED["single"], "o": NAMED["single"]}):
        run = await plain_run(tmp_path / "plain")
        other = await plain_run(tmp_path / "other", seed=1)
    whole = sum(tokens_of(run).values())
    labels = []
    for name, episodes in (("labels", run), ("again", run), ("others", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / FAILURES).touch()
        summary = DiagnosisSummary(labeller="x", taxonomy_version="1", run_tokens=whole)
        (tmp_path / name / SUMMARY).write_text(summary.model_dump_json())
        labels.append({"failures": str(tmp_path / name), "episodes": str(episodes)})
    diagnosed = ("diagnosis", "labels", 0)
    assert paid(failures=labels[:1]) == [("plain run", "labels", whole), diagnosed]
    both = paid(failures=labels[:1], plain=[str(run)], view="retrospective")
    assert both == [("plain run", "plain", whole), diagnosed]
    three = paid(failures=labels)
    assert [part for part in three if part[0] == "plain run"] == [
        ("plain run", "labels", whole),
        ("plain run", "others", whole),
    ]
    assert paid(plain=[str(run), str(other)], view="retrospective") == [
        ("plain run", "plain", whole),
        ("plain run", "other", whole),
    ]


async def test_what_an_initial_router_paid_is_paid_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with puzzles({"single": NAMED["single"], "o": NAMED["single"]}):
        run = await plain_run(tmp_path / "plain")
    settings = TrainSettings.model_validate(
        {"data": {"pool": POOL, "plain": [str(run)], "view": "retrospective"}}
    ).model_copy(update={"init": "before"})
    own = data_cost(settings.model_copy(update={"init": None}))
    fit = Spent(part="training", source="encoder", tokens=0, seconds=1.0)

    class Before:
        cost = (*own, fit)

    monkeypatch.setattr(training.data.cost, "read_manifest", lambda path: Before)
    assert data_cost(settings) == (*own, fit)
