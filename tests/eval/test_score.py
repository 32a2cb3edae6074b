"""``fama score`` and the measures of a group."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.metrics.episode_scores import read_scores, score_of
from eval.metrics.measures import Resampling, compare_pair, measure_arm
from eval.metrics.run_settings import settings_by_hash
from eval.metrics.summary import summarise_scores
from fama.agents.runs.plan import Planned, episode_id
from fama.agents.runs.run_config import config_hash, provenance, write_config
from fama.cli import main
from fama.envs.exclusions import known_wrong
from fama.episodes.records import LedgerRow, Message, Source
from fama.episodes.store import read_episodes
from fama.settings import ExperimentSettings, RunSettings, SelectorSettings
from tests.support.eval_builders import build, write_episodes


def test_a_score_sums_the_ledger_by_role() -> None:
    rows = [
        LedgerRow(role=role, model="m", input_tokens=tokens, cached_input_tokens=1, output_tokens=1)
        for role, tokens in {
            "agent": 10,
            "helper:TSA": 20,
            "selector": 30,
            "analyst": 40,
            "user": 50,
            "judge": 60,
        }.items()
    ]
    use = score_of(build("t", "x", ledger=tuple(rows))).tokens
    assert (use.agent, use.helper, use.selector, use.user, use.judge) == (11, 21, 72, 51, 61)
    assert use.total == 104 and use.cached == 4 and use.charged_input == 100 and use.output == 4


def test_whose_calls_in_an_unsaid_role_were_is_unknown() -> None:
    rows = [LedgerRow(role=role, model="m", input_tokens=10, output_tokens=1) for role in ("agent", "other")]
    use = score_of(build("t", "x", ledger=tuple(rows))).tokens
    assert (use.agent, use.helper, use.selector, use.user, use.judge, use.total) == (11, 0, 0, None, None, 11)


def test_a_greeting_is_no_decision_of_an_imported_log() -> None:
    own = build("t", "x")
    logged = own.model_copy(update={"decisions": ()})
    assert score_of(logged).decisions == score_of(own).decisions == 2
    said = [Message(role="assistant", content="Hi! How can I help?"), Message(role="user", content="I moved.")]
    assert score_of(logged.model_copy(update={"messages": tuple(said)})).decisions == 0
    greeted = logged.model_copy(update={"messages": (said[0], *logged.messages)})
    assert score_of(greeted).decisions == 2


def test_measures_by_hand() -> None:
    episodes = [
        build("a", "x", "success", 0, agent=100),
        build("a", "x", "failure", 1, agent=300),
        build("b", "x", "success", 0, agent=200, subset=("DCE", "TSA"), helper=40),
        build("b", "x", "success", 1, agent=200),
        build("c", "x", "error", 0, agent=5000),
    ]
    m = measure_arm([score_of(e) for e in episodes], ["a", "b", "c"], Resampling(draws=200))
    assert (m.tasks, m.trials, m.episodes, m.successes, m.failures) == (3, 2, 5, 3, 1)
    assert m.errors == {"user": 1} and m.user_faults == 1
    assert [e.estimate.value for e in m.pass_k] == [0.75, 0.5] and m.pass_k[0].short == 1
    assert m.success == m.pass_k[0].estimate and m.success.n == 2
    assert m.tokens.value == 840 / 4 and m.tokens_per_success.value == 840 / 3
    assert m.tokens_by_role == {"agent": 200, "helper": 10, "selector": 0, "user": 0, "judge": 0}
    assert m.cached_share.value == pytest.approx((45 + 145 + 95 + 95) / (90 + 290 + 190 + 40 + 190))
    assert m.notes == 0.5 and m.rejected_notes == 0.25
    assert m.decision_seconds.value == 0.5 and m.episode_seconds.value == 3.0
    untimed = [replace(score_of(episodes[0]), seconds=None), *map(score_of, episodes[1:])]
    assert measure_arm(untimed, ["a", "b", "c"], Resampling(draws=200)).episode_seconds.value is None


def test_pairs_without_a_verdict_on_both_sides_do_not_count() -> None:
    ours = [build("a", "x"), build("b", "x"), build("c", "x"), build("d", "x", "error")]
    theirs = [
        build("a", "n", "failure"),
        build("b", "n", agent=50),
        build("c", "n", "error"),
        build("d", "n", "failure"),
    ]
    sides = [[score_of(e) for e in side] for side in (ours, theirs)]
    got = compare_pair(sides[0], sides[1], "n", ["a", "b", "c", "d"], Resampling(draws=200))
    assert got.estimate.value == 0.5 and got.estimate.n == 2
    assert (got.only_ours, got.only_theirs, got.mcnemar_p, got.p) == (1, 0, 1.0, 1.0)
    assert got.overhead.value == pytest.approx(200 / 150 - 1)


def test_groups_are_kept_apart() -> None:
    scores = [score_of(e) for e in (build("a", "none"), build("a", "all"), build("a", "none", domain="saas"))]
    assert [(s.domain, s.selector) for s in summarise_scores(scores)] == [
        ("saas", "none"),
        ("shop", "all"),
        ("shop", "none"),
    ]


RUN: dict[str, Any] = {"model": {"temperature": 0.0}, "limits": {"steps": 30}, "benchmark": "toy"}


def recorded(folder: Path, **changes: Any) -> Path:
    """A folder with the settings of a run, and an episode that was run with them."""
    settings = ExperimentSettings.model_validate({**RUN, **changes})
    write_episodes(folder / "episodes.jsonl", [build("a", "none", config_hash=config_hash(settings), id=str(folder))])
    write_config(folder, provenance(settings, "toy-1", {}))
    return folder


def test_runs_of_other_settings_are_no_trials_of_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named by the settings that differ; the same settings in two folders are one run."""
    folders = [
        recorded(tmp_path / "plain"),
        recorded(tmp_path / "again", tasks=3, concurrency=2),
        recorded(tmp_path / "warm", model={"temperature": 0.9}, limits={"steps": 7}),
    ]
    second = [episode.model_copy(update={"trial": 1}) for episode in read_episodes(folders[1])]
    write_episodes(folders[1] / "episodes.jsonl", second)
    assert main(["score", *map(str, folders), "--bootstrap", "100"]) == 0
    shown = capsys.readouterr().out
    assert "none, limits.steps=30, model.temperature=0.0 " in shown
    assert "none, limits.steps=7, model.temperature=0.9 " in shown
    assert main(["score", *map(str, folders), "--bootstrap", "100", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert sorted(group["measures"]["trials"] for group in groups) == [1, 2]
    assert len({group["config_hash"] for group in groups}) == 2
    assert main(["score", str(folders[0]), "--bootstrap", "100"]) == 0
    assert "limits.steps" not in capsys.readouterr().out


def test_runs_whose_settings_are_gone_are_told_apart_by_their_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, warm = recorded(tmp_path / "plain"), recorded(tmp_path / "warm", model={"temperature": 0.9})
    (plain / "config.json").write_text('{"settings": {}}')
    assert main(["score", str(plain), str(warm / "episodes.jsonl"), "--bootstrap", "100"]) == 0
    shown = capsys.readouterr().out
    for (episode,) in (read_episodes(plain), read_episodes(warm)):
        assert f"none, config={episode.config_hash} " in shown
    assert "temperature" not in shown


def ran(folder: Path, options: dict[str, Any], arm: str = "learned") -> Path:
    """A folder of ``fama run`` whose selector has these options, with one episode."""
    selector = SelectorSettings(name=arm, options=options)
    settings = RunSettings.model_validate({**RUN, "selector": selector.model_dump()})
    id_ = episode_id(Planned("a", 0, selector), config_hash(settings))
    write_episodes(folder / "episodes.jsonl", [build("a", arm, config_hash=config_hash(settings), id=id_)])
    write_config(folder, provenance(settings, "toy-1", {}))
    return folder


def test_selectors_of_one_name_with_other_options_are_no_trials_of_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [ran(tmp_path / name, {"checkpoint": name}) for name in ("old", "new")]
    assert main(["score", *map(str, folders), "--bootstrap", "100"]) == 0
    shown = capsys.readouterr().out
    assert "learned, checkpoint=old " in shown and "learned, checkpoint=new " in shown
    assert main(["score", *map(str, folders), "--bootstrap", "100", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)
    assert [group["measures"]["episodes"] for group in groups] == [1, 1]
    assert sorted(group["arm"]["options"]["checkpoint"] for group in groups) == ["new", "old"]


def test_an_arm_that_was_replaced_under_its_name_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comparison's folder keeps the episodes of an arm that its config no longer has."""
    old, new = (ran(tmp_path / name, {"checkpoint": name}) for name in ("old", "new"))
    write_episodes(new / "episodes.jsonl", [*read_episodes(old), *read_episodes(new)])
    assert main(["score", str(new), "--bootstrap", "100"]) == 0
    shown = capsys.readouterr().out
    assert "learned, checkpoint=new " in shown and "learned, options not recorded " in shown
    for folder in (old, new):
        (folder / "config.json").unlink()
    assert main(["score", str(new), "--bootstrap", "100"]) == 2
    assert "both are learned on a, trial 0, with the same settings" in capsys.readouterr().err


def test_two_recorded_conversations_of_one_task_are_both_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hook may give conversations the task that they are about; none of them is a trial by number."""
    served = [build("a", "learned", config_hash="0" * 16, id=name, source=Source(importer="serve")) for name in "xy"]
    write_episodes(tmp_path / "episodes.jsonl", served)
    assert main(["score", str(tmp_path), "--bootstrap", "100", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    assert group["measures"]["episodes"] == 2


@pytest.mark.parametrize("place", ["agents", "compare", "mixed", "trials"])
def test_published_comparisons_hold_the_settings_of_their_episodes(place: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "results" / "helpdesk" / place
    hashes = {score.config_hash for score in read_scores([folder])}
    assert hashes == set(settings_by_hash([folder])) and len(hashes) == 1


def test_the_command_prints_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    episodes = [
        build("a", "none"),
        build("b", "none", "failure"),
        build("c", "none", "error"),
        build("a", "none", trial=1),
    ]
    write_episodes(tmp_path / "run" / "episodes.jsonl", episodes)
    assert main(["score", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "pass^2 %" in shown and "1 user" in shown and "50.0 [" in shown
    assert "none: pass^2 leaves out 2 tasks with fewer trials" in shown
    assert main(["score", str(tmp_path / "run"), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)
    assert group["selector"] == "none" and group["measures"]["success"]["value"] == 0.5


def test_an_error_that_was_run_again_is_replaced(tmp_path: Path) -> None:
    path = write_episodes(tmp_path / "e.jsonl", [build("a", "none", "error"), build("a", "none")])
    assert [score.status for score in read_scores([path])] == ["success"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["empty"], "holds no episodes"),
        (["nowhere"], "does not exist"),
        (["empty", "--bootstrap", "3"], "at least 100"),
    ],
)
def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    write_episodes(tmp_path / "empty" / "episodes.jsonl", [])
    assert main(["score", str(tmp_path / arguments[0]), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


def test_scores_are_given_with_and_without_tasks_that_are_known_to_be_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = known_wrong("tau2", "airline")
    assert {"9", "37"} <= set(wrong) and all(len(reason) > 15 for reason in wrong.values())
    tasks = ("9", "37", "0", "1", "3")
    episodes = [build(t, "x", "success" if t in ("0", "9") else "failure") for t in tasks]
    moved = [e.model_copy(update={"benchmark": "tau2", "domain": "airline"}) for e in episodes]
    (summary,) = summarise_scores([score_of(e) for e in moved], Resampling(draws=100))
    assert summary.wrong_tasks == ("37", "9") and summary.corrected is not None
    assert summary.measures.success.value == 0.4
    assert summary.corrected.success.value == pytest.approx(1 / 3)
    assert summary.corrected.tasks == 3
    (plain,) = summarise_scores([score_of(e) for e in episodes], Resampling(draws=100))
    assert plain.wrong_tasks == () and plain.corrected is None
    write_episodes(tmp_path / "run", moved)
    assert main(["score", str(tmp_path / "run"), "--bootstrap", "100"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "without 2" in shown and "exclusions.yaml" in shown
