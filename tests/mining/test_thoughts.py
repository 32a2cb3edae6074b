"""A note that changes only the thought: run on where later prompts hold the thought, the same action where not."""

import json
from pathlib import Path

import pytest

from fama.mining.schedule import SchedulePoint
from fama.models.base import ChatRequest
from tests.support.mining_worlds import Backbone, mined, plain_run, puzzle, puzzles, repair_of


class Remembers(Backbone):
    """Thinks of what Alpha says at the start, and acts well at the next decision if its prompt holds the thought."""

    def _reply(self, request: ChatRequest) -> str:
        turn = sum(message["role"] == "assistant" for message in request.messages)
        said = " ".join(str(message["content"]) for message in request.messages)
        thought = "REMEMBER" if "Alpha speaks" in request.prefill and turn == 0 else "hm"
        body = {"tool": "act", "arguments": {"well": turn == 1 and "REMEMBER" in said, "turn": turn}}
        if request.prefill.endswith("Thought:"):
            return f"{request.prefill} {thought}\nAction: {json.dumps(body)}"
        return request.prefill + json.dumps(body).removeprefix('{"tool": "')


@pytest.mark.parametrize("search", ["elimination", "tree"])
async def test_a_changed_thought_is_run_on_where_prompts_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    monkeypatch.setattr("tests.support.mining_worlds.Backbone", Remembers)
    outcomes = {}
    with puzzles({"x": puzzle(None, "A", None, ways=[[1]])}):
        for strategy in ("react", "act"):
            folder = await plain_run(tmp_path / strategy, strategy=strategy)
            found = await mined(folder, tmp_path / f"{strategy}-out", Remembers(), search=search)
            (record,) = found.records
            first = next(one for one in record.interventions if one.members == ("Alpha",) and one.decision == 0)
            assert first.before == first.after
            outcomes[strategy] = (first.outcome, record.verdict, record.proven)
            if strategy == "react":
                assert (repair_of(record), record.decisive) == (frozenset({SchedulePoint(0, "Alpha")}), 1)
    assert outcomes == {
        "react": ("success", "repaired", True),
        "act": ("same action", "not repaired by this pool", True),
    }
