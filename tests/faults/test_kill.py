"""kill -9 at random moments: after the same command again, everything is there once and equal to an unbroken run."""

import json
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.outcome_table import read_metadata, read_outcomes
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore, read_episodes
from fama.selection.budget import spent_tokens
from tests.support.crash_setups import BROKEN, TASKS
from tests.support.crashes import drive, kill_until

#: kills: some of every kind always, fifty in the slow tier
KILLS = (pytest.param(4), pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]))
COMMON = ("model.name=scripted:quitter", "domain=shop", "split=train", f"tasks={TASKS}")


def without_times(episode: Episode) -> dict[str, Any]:
    tree = json.loads(episode.model_dump_json(exclude={"started_at", "seconds"}))
    for part in (*tree["decisions"], *tree["ledger"]):
        del part["seconds"]
    return dict(tree)


def whole(out: Path) -> dict[str, dict[str, Any]]:
    """Episodes by id; none is there twice, and no other file than the known ones."""
    found = list(read_episodes(out))
    assert len({episode.id for episode in found}) == len(found)
    assert {path.name for path in out.iterdir() if not path.name.endswith(".lock")} <= {
        *("episodes.jsonl", "errors.jsonl", "config.json", "summary.json", "outcomes.parquet")
    }
    return {episode.id: without_times(episode) for episode in found}


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_run_ends_equal_to_an_unbroken_one(tmp_path: Path, kills: int) -> None:
    """Its budget of helpers is used up on the way: the same episodes are left without, however often it died."""

    def command(out: Path) -> list[str]:
        selector = ("selector.name=all", "helpers.pool=[TSA, Verifier]", "budget.run=250")
        return ["run", *COMMON, *selector, "--out", str(out)]

    (unbroken,) = drive(tmp_path, "helpdesk", [{"argv": command(tmp_path / "unbroken")}])
    expected = whole(tmp_path / "unbroken")
    assert unbroken.code == 0 and len(expected) == TASKS
    dropped = [bool(d["dropped"]) for episode in expected.values() for d in episode["decisions"]]
    assert any(dropped) and not all(dropped)
    outs, killed = kill_until(kills, tmp_path, "helpdesk", command, unbroken)
    assert killed >= kills
    for out in outs:
        assert whole(out) == expected
        assert json.loads((out / "summary.json").read_text())["overall"]["episodes"] == TASKS
        assert sum(map(spent_tokens, read_episodes(out))) <= 250


@pytest.mark.parametrize("kills", KILLS)
def test_errors_are_set_aside_once_however_often_the_run_dies(tmp_path: Path, kills: int) -> None:
    """A broken server left errors; while they are run again the command is killed. Every token spent is kept once."""

    def command(out: Path) -> list[str]:
        return ["run", *COMMON, "selector.name=all", "helpers.pool=[TSA]", "stop_after=0", "--out", str(out)]

    broken = {"env": {BROKEN: "9"}}
    fresh, again = tmp_path / "fresh", tmp_path / "again"
    ends = drive(tmp_path, "helpdesk", [{"argv": command(fresh)}, {"argv": command(again), **broken}])
    wrong = {e.id: without_times(e) for e in read_episodes(again) if e.outcome.status == "error"}
    assert 2 <= len(wrong) < TASKS and [end.code for end in ends] == [0, 0]
    (unbroken,) = drive(tmp_path, "helpdesk", [{"argv": command(again)}])
    outs, killed = kill_until(kills, tmp_path, "helpdesk", command, unbroken, first=broken)
    assert killed >= kills
    for out in outs:
        second = {one: {**tree, "attempt": 2 if one in wrong else 1} for one, tree in whole(fresh).items()}
        assert whole(out) == second
        aside = [without_times(episode) for episode in EpisodeStore(out).aside()]
        assert len(aside) == len(wrong) and {tree["id"]: tree for tree in aside} == wrong


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_outcomes_run_ends_with_the_same_table(tmp_path: Path, kills: int) -> None:
    def command(out: Path) -> list[str]:
        return ["outcomes", *COMMON, "per_task=2", "subsets=[[], [TSA], [Verifier]]", "--out", str(out)]

    (unbroken,) = drive(tmp_path, "helpdesk", [{"argv": command(tmp_path / "unbroken")}])
    assert unbroken.code == 0

    def table(out: Path) -> list[dict[str, Any]]:
        rows = [row.model_dump(exclude={"seconds"}) for row in read_outcomes(out / "outcomes.parquet")]
        assert read_metadata(out / "outcomes.parquet")["rows"] == len(rows) == 2 * TASKS
        return rows

    expected = table(tmp_path / "unbroken")
    outs, killed = kill_until(kills, tmp_path, "helpdesk", command, unbroken)
    assert killed >= kills
    for out in outs:
        assert whole(out) == whole(tmp_path / "unbroken")
        assert table(out) == expected
