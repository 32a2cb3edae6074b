"""Episodes to Inspect logs and back."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.importers.base import IMPORTERS
from fama.episodes.importers.inspect_terms import exported_arm
from fama.episodes.records import (
    Decision,
    Episode,
    FunctionCall,
    GoldAction,
    LedgerRow,
    Message,
    Note,
    Outcome,
    ToolCall,
)
from fama.episodes.store import EpisodeStore, read_episodes
from tests.support.browsing import free_port, needs_browser, opened_browser, served

inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect-ai is not installed: pip install -e '.[inspect]'")

CALL = ToolCall(id="c0", function=FunctionCall(name="get_order", arguments='{"order_id": "W1"}'))
MESSAGES = (
    Message(role="system", content="Rules."),
    Message(role="user", content="Hello"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content="{}", tool_call_id="c0", name="get_order"),
    Message(role="assistant", content="Done."),
)


def episode(task: str, trial: int, outcome: Outcome, selector: str = "TSA") -> Episode:
    return Episode(
        id=f"{task}-{trial}-{selector}",
        benchmark="helpdesk",
        benchmark_version="helpdesk-1.1",
        domain="shop",
        task_id=task,
        trial=trial,
        backbone="m/1.5b",
        strategy="act",
        selector=selector,
        messages=MESSAGES,
        decisions=(
            Decision(turn=0, message_index=2, subset=("TSA",), notes=(Note(helper="TSA", text="Look.", tokens=2),)),
        ),
        ledger=(
            LedgerRow(role="agent", model="m/1.5b", input_tokens=30, cached_input_tokens=20, output_tokens=4, turn=0),
            LedgerRow(role="agent", model="m/1.5b", input_tokens=40, output_tokens=5, turn=1),
        ),
        outcome=outcome,
        reward=None if outcome.status == "error" else float(outcome.status == "success"),
        gold_actions=(GoldAction(name="get_order", arguments="{}"),),
        seconds=3.5,
        started_at="2026-11-22T10:00:00+00:00",
    )


def test_what_is_exported_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = EpisodeStore(tmp_path / "run")
    good, bad = Outcome(status="success", reason="closed"), Outcome(status="failure", reason="loop")
    broken = Outcome(status="error", boundary="model", reason="endpoint is down")
    for one in (episode("t1", 0, good), episode("t1", 1, bad), episode("t2", 0, broken), episode("t1", 0, bad, "none")):
        store.append(one)
    out = tmp_path / "logs"
    assert main(["export", str(tmp_path / "run"), "--to", "inspect", "--out", str(out)]) == 0
    assert "inspect view --log-dir" in capsys.readouterr().out
    files = sorted(out.glob("*.eval"))
    assert [path.name for path in files] == [
        "helpdesk_shop_m-1.5b_act_TSA.eval",
        "helpdesk_shop_m-1.5b_act_none.eval",
    ]
    stats = inspect_log.read_eval_log(str(files[0])).stats
    assert (stats.started_at[:19], stats.completed_at[:19]) == ("2026-11-22T10:00:00", "2026-11-22T10:00:03")
    one, two, three = IMPORTERS.load("inspect")(files[0])
    assert [(e.task_id, e.trial, e.outcome.status) for e in (one, two, three)] == [
        ("t1", 0, "success"),
        ("t1", 1, "failure"),
        ("t2", 0, "error"),
    ]
    assert [(m.role, m.content, m.tool_calls) for m in one.messages] == [
        (m.role, m.content, m.tool_calls) for m in MESSAGES
    ]
    exported = episode("t1", 0, good)
    assert (one.benchmark, one.strategy, one.selector) == ("helpdesk", "act", "TSA")
    assert (one.ledger, one.decisions) == (exported.ledger, exported.decisions)
    assert [e.key for e in (one, two, three)] == [e.key for e in read_episodes(tmp_path / "run") if e.selector == "TSA"]
    header = inspect_log.read_eval_log(str(files[0]), header_only=True)
    assert header.eval.task == "helpdesk/shop" and header.results.scores[0].metrics["accuracy"].value == 0.5


def test_notes_stand_beside_the_message_that_they_came_before(tmp_path: Path) -> None:
    EpisodeStore(tmp_path / "run").append(episode("t1", 0, Outcome(status="success")))
    assert main(["export", str(tmp_path / "run"), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 0
    (path,) = (tmp_path / "logs").glob("*.eval")
    (sample,) = inspect_log.read_eval_log(str(path)).samples
    assert sample.messages[2].metadata == {"notes": [{"helper": "TSA", "text": "Look.", "tokens": 2}]}
    assert "Look." not in "".join(message.text for message in sample.messages)
    assert [one["message_index"] for one in sample.metadata["decisions"]] == [2]
    assert "notes" not in sample.metadata["decisions"][0]
    assert sample.metadata["subset"] == ["TSA"] and sample.target == ["get_order {}"]


def test_arms_that_differ_in_their_user_are_files_of_their_own(tmp_path: Path) -> None:
    done = Outcome(status="success", reason="done")
    episodes = [episode("t", 0, done).model_copy(update={"id": user, "user_model": user}) for user in ("u", "v")]
    store = EpisodeStore(tmp_path / "in")
    for one in episodes:
        store.append(one)
    assert main(["export", str(tmp_path / "in"), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 0
    assert len(list((tmp_path / "logs").glob("*.eval"))) == 2


@pytest.mark.parametrize(
    "metadata", [None, {}, {"strategy": "act"}, {"exporter": "other", "benchmark": "b"}, {"exporter": "fama", "x": 1}]
)
def test_only_an_exported_log_names_its_arm(metadata: dict[str, Any] | None) -> None:
    assert exported_arm(metadata) == {}
    named = {**(metadata or {}), "exporter": "fama", "selector": "TSA", "strategy": 3, "variant": ""}
    assert exported_arm(named).get("selector") == "TSA" and not {"strategy", "variant"} & exported_arm(named).keys()


def test_imported_arms_that_differ_in_their_user_stay_apart(tmp_path: Path) -> None:
    done = Outcome(status="success", reason="done")
    for user in ("u", "v"):
        one = episode("t", 0, done).model_copy(update={"id": user, "user_model": user, "settings": "a=1"})
        EpisodeStore(tmp_path / "in").append(one)
    assert main(["export", str(tmp_path / "in"), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 0
    assert main(["import", "inspect", str(tmp_path / "logs"), "--out", str(tmp_path / "back")]) == 0
    keys = {str(one.key) for one in read_episodes(tmp_path / "back")}
    assert keys == {str(one.key) for one in read_episodes(tmp_path / "in")} and len(keys) == 2


def exported(folder: Path, *episodes: Episode) -> Path:
    for one in episodes:
        EpisodeStore(folder / "run").append(one)
    assert main(["export", str(folder / "run"), "--to", "inspect", "--out", str(folder / "logs")]) == 0
    (path,) = (folder / "logs").glob("*.eval")
    return path


def row(role: str = "agent", **counts: Any) -> LedgerRow:
    return LedgerRow(role=role, model="user" if role == "user" else "m/1.5b", **counts)


Sums = tuple[int | None, int | None, int | None, int | None, float | None]
UNCOUNTED = row(input_tokens=None, output_tokens=None, estimated_tokens=500)


@pytest.mark.parametrize(
    ("rows", "sums"),
    [
        ((row(input_tokens=100, output_tokens=10), UNCOUNTED), (None, None, None, None, None)),
        ((UNCOUNTED,), (None, None, None, None, None)),
        (
            (
                row(input_tokens=100, cached_input_tokens=80, output_tokens=10, price=0.5),
                row(input_tokens=9, cached_input_tokens=None, output_tokens=1, reasoning_tokens=None, price=0.25),
            ),
            (109, None, 11, None, 0.75),
        ),
        ((row(input_tokens=5, output_tokens=1, price=0.5), row(input_tokens=5, output_tokens=1)), (10, 0, 2, 0, None)),
    ],
)
def test_a_sum_of_unknown_counts_is_unknown(tmp_path: Path, rows: tuple[LedgerRow, ...], sums: Sums) -> None:
    ledger = (*rows, row("user", input_tokens=7, output_tokens=1))
    one = episode("t", 0, Outcome(status="success")).model_copy(update={"ledger": ledger})
    path = exported(tmp_path, one)
    (sample,) = inspect_log.read_eval_log(str(path)).samples
    assert sample.metadata.get("unknown_usage") == (["m/1.5b"] if sums[0] is None else None)
    assert ("m/1.5b" in sample.model_usage) is (sums[0] is not None) and "user" in sample.model_usage
    log = inspect_log.read_eval_log(str(path))
    log.eval.metadata = None  # as another tool's log, whose counts are sums by model
    inspect_log.write_eval_log(log, str(path))
    (back,) = IMPORTERS.load("inspect")(path)
    (own,) = [bill for bill in back.ledger if bill.role == "agent"]
    assert sums == (
        *(own.input_tokens, own.cached_input_tokens, own.output_tokens),
        *(own.reasoning_tokens, own.price),
    )


@pytest.mark.parametrize(
    "text", ['{"order_id": "W1', "[1, 2]", '"W1"', "cancel W1", '{"a": 1}{"b": 2}', "Error details: x", "a\n\nb"]
)
def test_unreadable_arguments_come_back(tmp_path: Path, text: str) -> None:
    call = ToolCall(id="c0", function=FunctionCall(name="cancel", arguments=text))
    said = (*MESSAGES[:2], Message(role="assistant", tool_calls=(call,)), *MESSAGES[3:])
    path = exported(tmp_path, episode("t", 0, Outcome(status="failure")).model_copy(update={"messages": said}))
    (sample,) = inspect_log.read_eval_log(str(path)).samples
    (logged,) = sample.messages[2].tool_calls
    assert logged.arguments == {} and text in logged.parse_error
    (back,) = IMPORTERS.load("inspect")(path)
    assert back.messages[2].tool_calls == (call,)
    assert back.source.omitted == {"calls with unreadable arguments": 1}


@pytest.mark.parametrize("text", ["{}", ""])
def test_a_result_that_a_log_calls_an_error_comes_back(tmp_path: Path, text: str) -> None:
    update = {"failed": True, "content": text}
    flagged = tuple(m.model_copy(update=update) if m.role == "tool" else m for m in MESSAGES)
    path = exported(tmp_path, episode("t", 0, Outcome(status="failure")).model_copy(update={"messages": flagged}))
    (sample,) = inspect_log.read_eval_log(str(path)).samples
    assert [getattr(m, "error", None) is not None for m in sample.messages] == [m.role == "tool" for m in MESSAGES]
    (back,) = IMPORTERS.load("inspect")(path)
    assert [(m.role, m.content, m.failed) for m in back.messages] == [(m.role, m.content, m.failed) for m in flagged]


@pytest.mark.parametrize("text", ["", " ", "{}", "null"])
def test_no_arguments_are_no_parse_error(tmp_path: Path, text: str) -> None:
    call = ToolCall(id="c0", function=FunctionCall(name="cancel", arguments=text))
    said = (*MESSAGES[:2], Message(role="assistant", tool_calls=(call,)), *MESSAGES[3:])
    path = exported(tmp_path, episode("t", 0, Outcome(status="failure")).model_copy(update={"messages": said}))
    (sample,) = inspect_log.read_eval_log(str(path)).samples
    (logged,) = sample.messages[2].tool_calls
    assert (logged.arguments, logged.parse_error) == ({}, None)


def test_times_of_every_kind_are_exported(tmp_path: Path) -> None:
    said = ["2025-06-01 at noon", "2025-06-01T12:00:00", "2025-06-01T12:00:00+02:00", "0001-01-01T00:00:00+14:00", None]
    done, long = Outcome(status="success"), 1e300
    episodes = [
        episode("t", trial, done).model_copy(update={"started_at": text, "seconds": 60.0})
        for trial, text in enumerate(said)
    ]
    endless = episode("t", len(said), done).model_copy(update={"started_at": said[1], "seconds": long})
    log = inspect_log.read_eval_log(str(exported(tmp_path, *episodes, endless)))
    begun = [one.started_at and str(one.started_at)[:19] for one in log.samples]
    assert begun == [None, "2025-06-01T12:00:00", "2025-06-01T10:00:00", None, None, "2025-06-01T12:00:00"]
    assert [one.metadata.get("started_at") for one in log.samples] == [said[0], None, None, said[3], None, None]
    assert (log.stats.started_at[:19], log.stats.completed_at[:19]) == ("2025-06-01T10:00:00", "2025-06-01T12:01:00")


def test_bad_exports_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "episodes.jsonl").write_text("", encoding="utf-8")
    assert main(["export", str(tmp_path), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 2
    assert "holds no episodes" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "nowhere"), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 2


@needs_browser
def test_the_exported_log_opens_in_inspects_own_viewer(tmp_path: Path) -> None:
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
    store = EpisodeStore(tmp_path / "run")
    store.append(episode("shop-test-0007", 0, Outcome(status="failure", reason="loop")))
    assert main(["export", str(tmp_path / "run"), "--to", "inspect", "--out", str(tmp_path / "logs")]) == 0
    port = free_port()
    viewer = ["inspect", "view", "start", "--log-dir", str(tmp_path / "logs"), "--host", "127.0.0.1"]
    command = [str(Path(sys.executable).with_name(viewer[0])), *viewer[1:], "--port", str(port)]
    with served(command, port) as address, opened_browser(tmp_path / "profile") as browser:
        browser.get(f"{address}/#/logs/helpdesk_shop_m-1.5b_act_TSA.eval")
        page = browser.find_element("tag name", "body")
        told = ""
        for _ in range(60):
            told = page.text
            if "shop-test-0007" in told:
                break
            time.sleep(0.5)
        assert "shop-test-0007" in told
        sample = next(e for e in browser.find_elements("css selector", "*") if e.text.strip() == "shop-test-0007")
        sample.click()
        for _ in range(60):
            told = browser.find_element("tag name", "body").text
            if "get_order" in told and "Done." in told:
                break
            time.sleep(0.5)
        assert "get_order" in told and "Done." in told and "Hello" in told
