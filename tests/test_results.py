"""The tables of measured numbers in README and docs are what the committed data say."""

import gzip
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from eval.compare.comparison import read_comparison
from eval.publish import arm_tables, findings, mixed_traffic, training_table
from eval.publish import build as tables
from eval.publish.arm_tables import DATA, ROOT
from fama import cli
from fama.config_layers import ConfigLayers
from fama.episodes.outcome_table import OutcomeRow, read_outcomes, write_outcomes
from fama.episodes.records import SELECTION_ROLES
from fama.episodes.store import read_episodes
from fama.errors import BadInput
from tests.support.outcome_rows import row


def test_every_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """Else run ``python -m eval.publish.build`` and commit what it changed."""
    assert tables.main(["--check"]) == 0, capsys.readouterr().out
    assert "105 tables in 16 pages" in capsys.readouterr().out


def test_a_number_that_the_episodes_do_not_bear_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(DATA / "compare", tmp_path / "compare")
    monkeypatch.setattr(arm_tables, "DATA", tmp_path)
    assert "| none |" in arm_tables.selectors()
    path = tmp_path / "compare" / "comparison.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value["arms"][1]["measures"]["successes"] += 1
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(BadInput, match="arms.all.measures.successes is .* but its episodes say"):
        arm_tables.selectors()


def test_what_was_read_are_the_failures_that_there_are(tmp_path: Path) -> None:
    own = (DATA / "failures-read.yaml").read_text(encoding="utf-8")
    path = tmp_path / "read.yaml"
    first = next(line for line in own.splitlines() if "task: shop-test" in line)
    path.write_text(own.replace(f"{first}\n", ""), encoding="utf-8")
    with pytest.raises(BadInput, match="compare; read those that differ"):
        findings.read_in_full(DATA / "compare", DATA / "trials", path)
    last = own.rstrip().splitlines()[-1]
    path.write_text(own.replace(last, ""), encoding="utf-8")
    with pytest.raises(BadInput, match="trials; read those that differ"):
        findings.read_in_full(DATA / "compare", DATA / "trials", path)
    path.write_text(own.replace("cause: scorer", "cause: fate"), encoding="utf-8")
    with pytest.raises(BadInput, match="no cause 'fate'; known: wrong_note"):
        findings.read_in_full(DATA / "compare", DATA / "trials", path)


def test_a_sample_that_was_read_is_of_failures_of_its_arm(tmp_path: Path) -> None:
    folder = DATA / "mixed"
    own = (folder / "failures-read.yaml").read_text(encoding="utf-8")
    table = mixed_traffic.failures_read(folder, folder / "failures-read.yaml")
    assert "| a helper would have said the right thing, the router did not ask it | 2 | 2 | 4 |" in table
    path = tmp_path / "read.yaml"
    path.write_text(own.replace("arm: learned per turn", "arm: none"), encoding="utf-8")
    with pytest.raises(BadInput, match="no failure of none on saas-test-0202 in .*mixed; correct the line"):
        mixed_traffic.failures_read(folder, path)
    path.write_text(own.replace("cause: withheld", "cause: fate", 1), encoding="utf-8")
    with pytest.raises(BadInput, match="no cause 'fate'; known: wrong_note"):
        mixed_traffic.failures_read(folder, path)


def test_calls_of_helper_agents_are_counted_with_what_came_of_them() -> None:
    folder = DATA / "agents"
    data = findings.findings(folder)
    told = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in mixed_traffic.calls_and_notes(folder).splitlines()[2:]
    ]
    assert [row[:2] for row in told][:1] == [["TSA", "TSA"]] and len(told) == 7
    for arm, helper, *numbers in told:
        calls, notes, rejected, silent = map(int, numbers)
        episodes = data.of(arm)
        assert calls == sum(row.role == f"helper:{helper}" for e in episodes for row in e.ledger)
        assert notes == sum(note.helper == helper for e in episodes for one in e.decisions for note in one.notes)
        assert calls == notes + rejected + silent and silent >= 0


def test_notes_of_an_arm_are_counted() -> None:
    folder = DATA / "mixed"
    decisions = [one for e in findings.findings(folder).of("all") for one in e.decisions]
    (row,) = [line for line in mixed_traffic.notes_given(folder).splitlines() if line.startswith("| all ")]
    shown = [float(cell.split()[0]) for cell in row.split("|")[2:-1]]
    tokens = sum(note.tokens for one in decisions for note in one.notes)
    several = sum(len(one.notes) > 1 for one in decisions)
    counts = (len(decisions), sum(len(one.notes) for one in decisions), sum(bool(one.notes) for one in decisions))
    assert shown == [round(n / 80, 1) for n in (*counts, several)] + [round(tokens / 80)]


def test_the_data_are_whole() -> None:
    for path in DATA.parent.rglob("*.gz"):
        with gzip.open(path) as file:
            assert all(line.endswith(b"}\n") for line in file)


def test_the_live_script_names_known_commands_and_configs_that_are_there(tmp_path: Path) -> None:
    lines = [
        line
        for line in (ROOT / "eval/publish/live.sh").read_text(encoding="utf-8").splitlines()
        if line.startswith("fama ")
    ]
    steps = ["outcomes", "run", "diagnose", "train", "train", "train", "outcomes", "compare", "run", "diagnose"]
    steps += ["compare", "compare", "run", "mine", "train", "outcomes", "outcomes", "train", "compare", "outcomes"]
    steps += ["compare", *["train"] * 4, "compare", "train", *["compare"] * 10, *["report"] * 4]
    assert [line.split()[1] for line in lines] == steps
    made: set[str] = set()
    for line in lines:
        words = shlex.split(line.replace('"$@"', ""))[1:]
        made |= {words[place + 1] for place, word in enumerate(words) if word == "--out"}
        inputs = [part for word in words for part in re.findall(r"runs/[\w./-]+", word) if part not in made]
        assert all(any(part.startswith(f"{folder}/") for folder in made) for part in inputs), line
        assert not any("results/helpdesk" in word for word in words), "everything is made anew"
        if words[0] == "compare":
            layers = [words[place + 1] for place, word in enumerate(words) if word == "--config"]
            shipped = ConfigLayers()
            for layer in layers:
                shipped.add(yaml.safe_load((ROOT / layer).read_text(encoding="utf-8")), layer)
            arms = next(yaml.safe_load(word.removeprefix("arms=")) for word in words if word.startswith("arms="))
            assert [arm["name"] for arm in arms] == [arm["name"] for arm in shipped.tree["arms"]]
        if "--config" in words:
            assert cli.main([*words, "--print_config"]) == 0


def test_headroom_is_what_the_best_subset_of_each_task_solves_more() -> None:
    """Counted by hand from the committed grid: the router solves one task that no subset of the grid does."""
    comparison = read_comparison(DATA / "mixed-oracle")
    lines = {line.split(" | ")[0]: line for line in mixed_traffic.headroom(comparison).splitlines()}
    solved = {row.task_id: row.arms["all"].successes for row in comparison.per_task}
    best = {row.task_id: row.oracle for row in comparison.per_task}
    assert (sum(solved.values()), sum(filter(None, best.values()))) == (9, 14)
    assert lines["| all"].startswith("| all | 24 | 5 | 0 | +21 [")
    assert lines["| learned per turn"].startswith("| learned per turn | 24 | 5 | 1 | +17 [")
    without = [row.model_copy(update={"oracle": None}) for row in comparison.per_task[:4]]
    part = comparison.model_copy(update={"per_task": (*without, *comparison.per_task[4:])})
    assert "| all | 20 | " in mixed_traffic.headroom(part)


def test_helper_effects_are_within_tasks(tmp_path: Path) -> None:
    """By hand: DCE mends two of three tasks, Memory is drawn on the third only, whatever its level."""
    plain = next(row for row in read_outcomes(tables.TRAINING) if row.subset == "")

    def row(task: str, subset: str, success: bool) -> OutcomeRow:
        changes = {"episode_id": f"{task}-{subset}", "task_id": task, "subset": subset, "success": success}
        return plain.model_copy(update={**changes, "status": "success" if success else "failure"})

    rows = [row(task, subset, task == "easy" or bool(subset)) for task in ("a", "b") for subset in ("", "DCE")]
    rows += [row("easy", subset, True) for subset in ("", "DCE", "Memory")]
    write_outcomes(tmp_path / "t.parquet", rows, {})
    found = training_table.helper_effects(tmp_path / "t.parquet")
    # XᵀX = [[5/3, -1/3], [-1/3, 2/3]], Xᵀy = [1, 0]: DCE 2/3, Memory 1/3
    assert "| DCE | +66.7 [" in found and "| Memory | +33.3 [" in found and "| Planner | 0.0 [" in found
    solved = training_table.solved_subsets(tmp_path / "t.parquet")
    assert solved.startswith("The subset decides on 2 of 3 tasks") and "| tasks | 0 | 2 | 0 | 1 |" in solved
    assert "| DCE | 3 | 3 | 1 |" in training_table.outcomes_against_none(tmp_path / "t.parquet")


def test_errors_are_in_no_rate_of_a_training_table(tmp_path: Path) -> None:
    rows = [row(task, subset, subset == "TSA") for task in ("a", "b") for subset in ("", "TSA")]
    rows.append(row("c", "TSA", None).model_copy(update={"tokens": 1, "tokens_agent": 1}))
    metadata = {"benchmark_version": "toy-1", "commit": "abcdefghi", "command": "fama outcomes"}
    write_outcomes(tmp_path / "t.parquet", rows, metadata)
    found = training_table.outcomes(tmp_path / "t.parquet")
    assert "| TSA | 2 | 2 | 100 [" in found and "| 10 | 10 |" in found
    assert (
        found.startswith("5 episodes on 3 training tasks, 2 solved (50 [")
        and "1 errors. Made at commit abcdefg" in found
    )


def test_limits_of_a_prompted_selection_changed_none_of_the_committed_ones() -> None:
    """All were read at their first call, with fewer tokens than the smallest limit that selections ever had (40)."""
    rows = [
        row
        for path in sorted(DATA.parent.rglob("*episodes.jsonl.gz"))
        if path.parent.name in ("compare", "trials", "retrospective", "mock", "retail", "airline")
        or path.name.startswith("prompted-")
        for episode in read_episodes(path)
        if episode.selector == "prompted"
        for row in episode.ledger
        if row.role in SELECTION_ROLES
    ]
    assert len(rows) == 484 and all(row.parsed for row in rows)
    assert max(row.output_tokens or 40 for row in rows) == 32
