"""The outcome table: rows from episodes, and parquet there and back."""

from pathlib import Path
from typing import Any

import pytest

from fama.episodes.outcome_table import episodes_to_rows, read_columns, read_metadata, read_outcomes, write_outcomes
from fama.episodes.records import Decision, Episode, LedgerRow, Message, Outcome
from fama.errors import BadInput
from fama.subsets import join_subset, split_subset

MESSAGES = (
    Message(role="system", content="policy"),
    Message(role="user", content="hello"),
    Message(role="assistant", content="hi"),
    Message(role="user", content="bye"),
    Message(role="assistant", content="bye"),
)


def episode(**changes: object) -> Episode:
    values: dict[str, object] = {
        "id": "e1",
        "benchmark": "toy",
        "benchmark_version": "toy-1",
        "domain": "shop",
        "task_id": "t1",
        "trial": 2,
        "backbone": "m",
        "strategy": "act",
        "selector": "DCE+TSA",
        "messages": MESSAGES,
        "decisions": (
            Decision(turn=0, message_index=2, subset=("DCE", "TSA"), propensity=0.25),
            Decision(turn=1, message_index=4, subset=("DCE", "TSA"), propensity=0.25),
        ),
        "ledger": (
            LedgerRow(role="agent", model="m", input_tokens=100, cached_input_tokens=60, output_tokens=10),
            LedgerRow(role="helper:DCE", model="m", input_tokens=7, output_tokens=3),
            LedgerRow(role="selector", model="m", input_tokens=5),
            LedgerRow(role="user", model="m", input_tokens=1000),
        ),
        "outcome": Outcome(status="success"),
        "reward": 1.0,
        "seconds": 3.5,
    }
    return Episode.model_validate({**values, **changes})


def test_a_row_holds_subset_tokens_and_state() -> None:
    (row,) = episodes_to_rows([episode()])
    assert (row.subset, row.propensity, row.success, row.trial) == ("DCE+TSA", 0.25, True, 2)
    assert (row.tokens, row.tokens_agent, row.tokens_helper, row.tokens_selector) == (125, 110, 10, 5)
    assert (row.tokens_cached, row.output_tokens, row.decisions, row.seconds) == (60, 13, 2, 3.5)
    assert '"hello"' in row.state and '"bye"' not in row.state
    assert row.pool == "DCE+TSA+TOR+Planner+Verifier+Memory"


def test_an_error_has_no_success() -> None:
    (row,) = episodes_to_rows([episode(outcome=Outcome(status="error", boundary="user"), reward=None)])
    assert row.status == "error" and row.success is None and row.reward is None


def test_only_episodes_that_held_one_subset_have_a_cell(caplog: pytest.LogCaptureFixture) -> None:
    """A budget that ends halfway leaves an episode of no one subset; one that cuts every decision alike leaves one."""
    changed = (Decision(turn=0, message_index=2, subset=("DCE",)), Decision(turn=1, message_index=4))
    whole = Decision(turn=0, message_index=2, subset=("DCE", "TSA"), propensity=0.5)
    cut = Decision(turn=1, message_index=4, subset=("DCE",), dropped=("TSA",))
    gone = Decision(turn=1, message_index=4, dropped=("DCE", "TSA"))
    alike = (cut.model_copy(update={"turn": 0, "message_index": 2}), cut)
    rows = episodes_to_rows([episode(decisions=()), episode(decisions=changed), episode(decisions=alike)])
    assert [(row.subset, row.propensity) for row in rows] == [("DCE", None)] and not caplog.messages
    halfway = [episode(decisions=pair) for pair in ((whole, cut), (whole, gone), (alike[0], whole))]
    assert episodes_to_rows(halfway) == []
    assert [line.partition(":")[0] for line in caplog.messages] == ["3 episodes have no row in the outcome table"]


def test_subset_strings_go_both_ways() -> None:
    assert split_subset(join_subset(("DCE", "TSA"))) == ("DCE", "TSA")
    assert split_subset(join_subset(())) == ()


def test_parquet_keeps_every_value(tmp_path: Path) -> None:
    rows = episodes_to_rows(
        [episode(), episode(id="e2", decisions=(Decision(turn=0, message_index=2),), seconds=None, reward=None)]
    )
    path = tmp_path / "sub" / "outcomes.parquet"
    write_outcomes(path, rows, {"config": {"seed": 3}, "command": "fama outcomes", "commit": "abc"})
    assert read_outcomes(path, "toy-1") == rows
    note = read_metadata(path)
    assert note["config"] == {"seed": 3} and note["commit"] == "abc" and note["benchmark_version"] == "toy-1"
    assert [p.name for p in path.parent.iterdir()] == ["outcomes.parquet"]


def test_equal_states_are_one_string_and_a_column_is_read_alone(tmp_path: Path) -> None:
    rows = episodes_to_rows([episode(), episode(id="e2"), episode(id="e3")])
    write_outcomes(tmp_path / "o.parquet", rows, {})
    first, second, third = read_outcomes(tmp_path / "o.parquet")
    assert first.state is second.state is third.state and first.state == rows[0].state
    assert read_columns(tmp_path / "o.parquet", ["trial"]) == {"trial": [row.trial for row in rows]}
    with pytest.raises(BadInput, match="column 'nothing'"):
        read_columns(tmp_path / "o.parquet", ["nothing"])


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    write_outcomes(tmp_path / "o.parquet", [], {})
    assert read_outcomes(tmp_path / "o.parquet", "toy-1") == []


def test_another_benchmark_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "o.parquet"
    write_outcomes(path, episodes_to_rows([episode()]), {})
    with pytest.raises(BadInput, match=r"o\.parquet: benchmark_version is toy-1, but these settings ask for toy-2"):
        read_outcomes(path, "toy-2")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("propensity", 50.0, "propensity 50.0 is no probability"),
        ("propensity", -0.5, "propensity -0.5 is no probability"),
        ("propensity", float("nan"), "propensity nan is no probability"),
        ("seconds", float("inf"), "seconds inf cannot be a cost"),
        ("seconds", -1.0, "seconds -1.0 cannot be a cost"),
        ("tokens", -3, "tokens -3 cannot be a cost"),
        ("tokens_cached", -5, "tokens_cached -5 cannot be a cost"),
    ],
)
def test_numbers_that_cannot_be_are_refused(name: str, value: float, told: str, tmp_path: Path) -> None:
    """They ended in a traceback of a training, or weighed a row fifty times less."""
    (row,) = episodes_to_rows([episode()])
    write_outcomes(tmp_path / "one.parquet", [row.model_copy(update={name: value})], {})
    with pytest.raises(BadInput, match=f"one.parquet: episode e1: {told}; leave it empty if unknown"):
        read_outcomes(tmp_path / "one.parquet")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"status": "error"}, "success is True, its status error"),
        ({"success": None}, "success is None, its status success"),
        ({"success": False}, "success is False, its status success"),
        ({"tokens_agent": 1}, "tokens are not those of agent, helper and selector"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    """Commands read different ones of them."""
    (row,) = episodes_to_rows([episode()])
    write_outcomes(tmp_path / "one.parquet", [row.model_copy(update=change)], {})
    with pytest.raises(BadInput, match=f"one.parquet: episode e1: {told}"):
        read_outcomes(tmp_path / "one.parquet")


def test_unreadable_files_are_bad_input(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    for name, reason in {"none": "no such file", "torn": "not a readable parquet", "other": "no outcome table"}.items():
        with pytest.raises(BadInput, match=reason) as caught:
            read_outcomes(tmp_path / f"{name}.parquet")
        assert "\n" not in str(caught.value)
