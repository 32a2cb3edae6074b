"""Inspect logs: made with Inspect's own record types and writer, read back through its own reader."""

from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.episodes.importers.base import IMPORTERS, detect_format
from fama.episodes.records import Episode, total_tokens
from fama.episodes.store import read_episodes
from fama.errors import BadInput

inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect-ai is not installed: pip install -e '.[inspect]'")


def sample(number: int, value: Any, **more: Any) -> Any:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser, ModelUsage
    from inspect_ai.scorer import Score
    from inspect_ai.tool import ToolCall

    call = ToolCall(id="c1", function="get_user", arguments={"id": "a"})
    return inspect_log.EvalSample(
        id=f"task-{number}",
        epoch=1,
        input="Hello",
        target="x",
        messages=[
            ChatMessageUser(content="Hello"),
            ChatMessageAssistant(content="", tool_calls=[call]),
            ChatMessageTool(content="{}", tool_call_id="c1", function="get_user"),
            ChatMessageAssistant(content="Done. " + "x" * 400),
        ],
        scores=None if value is None else {"match": Score(value=value)},
        model_usage={
            "openai/m": ModelUsage(input_tokens=10, output_tokens=4, total_tokens=34, input_tokens_cache_read=20),
            "openai/judge": ModelUsage(input_tokens=3, output_tokens=1, total_tokens=4),
        },
        **more,
    )


def log_of(folder: Path, name: str, samples: list[Any]) -> Path:
    ids = [one.id for one in samples]
    spec = inspect_log.EvalSpec(
        created="2026-11-22T10:00:00+00:00",
        task="bank",
        dataset=inspect_log.EvalDataset(name="branch", samples=len(samples), sample_ids=ids),
        model="openai/m",
        config=inspect_log.EvalConfig(epochs=1),
    )
    log = inspect_log.EvalLog(
        eval=spec, plan=inspect_log.EvalPlan(), status="success", results=inspect_log.EvalResults(), samples=samples
    )
    path = folder / name
    inspect_log.write_eval_log(log, str(path))
    return path


def read(path: Path) -> list[Episode]:
    return list(IMPORTERS.load("inspect")(path))


@pytest.mark.parametrize("name", ["run.eval", "run.json"])
def test_samples_become_episodes(tmp_path: Path, name: str) -> None:
    crash = inspect_log.EvalError(message="boom", traceback="", traceback_ansi="")
    path = log_of(tmp_path, name, [sample(1, "C"), sample(2, 0.5), sample(3, None), sample(4, "I", error=crash)])
    assert detect_format(path) == "inspect"
    good, half, unscored, crashed = read(path)
    assert (good.benchmark, good.domain, good.backbone, good.trial) == ("bank", "branch", "openai/m", 0)
    assert [e.outcome.status for e in (good, half, unscored, crashed)] == ["success", "failure", "error", "error"]
    assert (half.reward, unscored.reward, crashed.outcome.reason) == (0.5, None, "boom")
    assert [m.role for m in good.messages] == ["user", "assistant", "tool", "assistant"]
    assert good.messages[1].tool_calls is not None
    assert good.messages[1].tool_calls[0].function.parsed() == {"id": "a"}
    assert good.messages[2].tool_call_id == "c1" and str(good.messages[3].content).endswith("x" * 400)
    rows = {row.role: (row.model, row.input_tokens, row.cached_input_tokens, row.output_tokens) for row in good.ledger}
    assert rows == {"agent": ("openai/m", 30, 20, 4), "other": ("openai/judge", 3, None, 1)}


Counts = tuple[int | None, int | None, int | None, int | None]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": 9, "output_tokens": 2}, (9, None, 2, None)),
        ({"input_tokens": 9, "output_tokens": 2, "input_tokens_cache_read": 0}, (9, 0, 2, None)),
        ({"input_tokens": 9, "output_tokens": 2, "input_tokens_cache_write": 5}, (14, None, 2, None)),
        ({"input_tokens": 9, "output_tokens": 2, "reasoning_tokens": 1}, (9, None, 2, 1)),
        ({"input_tokens": 9, "output_tokens": 0}, (9, None, 0, None)),
        ({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, (None, None, None, None)),
        (None, (None, None, None, None)),
    ],
)
def test_what_a_provider_does_not_count_is_unknown(
    tmp_path: Path, usage: dict[str, int] | None, counts: Counts
) -> None:
    from inspect_ai.model import ModelUsage

    one = sample(1, "C")
    one.model_usage.pop("openai/m")
    if usage is not None:
        one.model_usage["openai/m"] = ModelUsage(**usage)
    (episode,) = read(log_of(tmp_path, "run.eval", [one]))
    (row,) = [row for row in episode.ledger if row.role == "agent"]
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens, row.reasoning_tokens) == counts
    assert (total_tokens(episode.ledger) is None) is (counts[0] is None)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        ('Error parsing the following tool call arguments:\n\n{"id": "W1"\n\nError details: cut', '{"id": "W1"'),
        ('Error parsing the following tool call arguments: {"id": "W1"', '{"id": "W1"'),
        ("unknown tool", "unknown tool"),
    ],
)
def test_arguments_that_inspect_could_not_read_are_kept(tmp_path: Path, error: str, arguments: str) -> None:
    one = sample(1, "C")
    one.messages[1].tool_calls[0].arguments, one.messages[1].tool_calls[0].parse_error = {}, error
    (episode,) = read(log_of(tmp_path, "run.eval", [one]))
    (call,) = episode.messages[1].tool_calls or ()
    assert call.function.arguments == arguments
    assert episode.source.omitted == {"calls with unreadable arguments": 1}


@pytest.mark.parametrize(
    ("value", "status", "reward"),
    [
        ("C", "success", 1.0),
        ("I", "failure", 0.0),
        ("P", "failure", 0.5),
        ("yes", "success", 1.0),
        ("1.0", "success", 1.0),
        ("maybe", "error", None),
        (float("nan"), "error", None),
        (float("inf"), "error", None),
        ([1, 0], "error", None),
    ],
)
def test_scores_in_any_form(tmp_path: Path, value: Any, status: str, reward: float | None) -> None:
    (episode,) = read(log_of(tmp_path, "run.eval", [sample(1, value)]))
    assert (episode.outcome.status, episode.reward) == (status, reward)


@pytest.mark.parametrize("reason", ["the world broke", None])
def test_an_invalidated_sample_is_an_error_of_the_environment(tmp_path: Path, reason: str | None) -> None:
    why = inspect_log.ProvenanceData(author="a", reason=reason)
    path = log_of(tmp_path, "run.eval", [sample(1, "C", invalidation=why), sample(2, "C")])
    broken, good = read(path)
    assert (broken.outcome.status, broken.outcome.boundary, broken.reward) == ("error", "environment", None)
    assert broken.outcome.reason == f"invalidated: {reason or 'no reason given'}" and good.outcome.status == "success"


def test_solvers_and_settings_are_arms(tmp_path: Path) -> None:
    path = log_of(tmp_path, "run.json", [sample(1, "C")])
    log = inspect_log.read_eval_log(str(path))
    log.eval.solver, log.eval.model_generate_config.temperature = "planner", 0.5
    inspect_log.write_eval_log(log, str(path))
    (episode,) = read(path)
    assert episode.variant == "agent=planner; temperature=0.5"


def test_the_command_takes_eval_files(tmp_path: Path) -> None:
    log_of(tmp_path, "run.eval", [sample(1, "C"), sample(2, "I")])
    assert main(["import", "auto", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert [e.outcome.status for e in read_episodes(tmp_path / "out")] == ["success", "failure"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b'{"eval": 1, "plan": 2}'])
@pytest.mark.parametrize("name", ["run.eval", "run.json"])
def test_damaged_logs_are_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match="Inspect's reader refuses it") as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)
