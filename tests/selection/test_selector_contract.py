"""Every registered selector that can be built without a model or a checkpoint keeps the contract."""

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.keys import EpisodeKey
from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.episodes.records import FunctionCall, Message, ToolCall, ToolSpec
from fama.episodes.state import VisibleState
from fama.helpers.pool import build_pool
from fama.selection.base import SELECTORS, Allowance, Selector, SelectorContext
from fama.settings import HelperSettings

POOL = build_pool(HelperSettings())
#: Their own tests build these: they need a model or a checkpoint.
ELSEWHERE = {"prompted", "learned", "linear", "knn", "boosting", "prior"}
OPTIONS: dict[str, dict[str, Any]] = {"fixed": {"subset": ["Memory", "TSA"]}, "random": {"mean_size": 2}}
NAMES = [name for name in SELECTORS.names() if name not in ELSEWHERE]

SCHEMA = json.dumps({"type": "object", "properties": {"loan_id": {"type": "string"}}, "required": ["loan_id"]})
TOOLS = tuple(ToolSpec(name=f"{verb}_loan", description="A loan.", parameters=SCHEMA) for verb in ("get", "renew"))
CALL = ToolCall(id="1", function=FunctionCall(name="get_loan", arguments='{"loan_id": "L1"}'))
MESSAGES = (
    Message(role="user", content="Renew loan L1."),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content='{"loan_id": "L1", "status": "active"}', tool_call_id="1"),
    Message(role="assistant", content="Shall I?"),
    Message(role="user", content="Yes."),
)
KEY = EpisodeKey("b", "d", "t1", 0, "m", "act")
STATES = [VisibleState("Be kind.", TOOLS, MESSAGES[:size], size) for size in (0, 1, 3, 5)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> str:
    base: dict[str, Any] = {
        **dict.fromkeys(("tokens_agent", "tokens_helper", "tokens_selector", "tokens_cached", "output_tokens"), 1),
        **dict.fromkeys(("prompts_hash", "state", "benchmark_version"), "1"),
        **dict(benchmark="b", domain="d", task_id="t1", trial=0, backbone="m", strategy="act", propensity=0.5),
        **dict(status="success", success=True, reward=1.0, tokens=10, decisions=1, seconds=1.0, pool="+".join(POOL)),
    }
    rows = [OutcomeRow(episode_id=subset, subset=subset, **base) for subset in ("TSA", "DCE+TSA")]
    path: Path = tmp_path_factory.mktemp("table") / "outcomes.parquet"
    write_outcomes(path, rows, {})
    return str(path)


def built(name: str, outcomes: str) -> Selector:
    return SELECTORS.load(name)(SelectorContext(POOL, outcomes=outcomes), **dict(OPTIONS.get(name, {})))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", STATES, ids=lambda state: f"turn{state.turn}")
async def test_a_selection_is_well_formed_and_follows_its_stream(name: str, state: VisibleState, outcomes: str) -> None:
    for seed in range(12):
        one = await built(name, outcomes).select(state, Allowance(), random.Random(seed))
        assert list(one.subset) == [helper for helper in POOL if helper in one.subset]
        assert one.propensity is not None
        assert 0 < one.propensity <= 1
        assert set(one.probabilities) == set(POOL)
        assert all(0 <= value <= 1 for value in one.probabilities.values())
        assert one.seconds >= 0
        again = await built(name, outcomes).select(state, Allowance(), random.Random(seed))
        assert (again.subset, again.propensity, again.probabilities) == (one.subset, one.propensity, one.probabilities)


@pytest.mark.parametrize("name", NAMES)
def test_a_selector_says_its_name_and_track(name: str, outcomes: str) -> None:
    selector = built(name, outcomes)
    assert selector.name == name
    assert selector.track == ("retrospective" if name == "oracle" else "prospective")


@pytest.mark.parametrize("name", SELECTORS.names())
def test_every_registered_name_leads_somewhere(name: str) -> None:
    try:
        assert callable(SELECTORS.load(name))
    except ModuleNotFoundError as error:
        pytest.skip(f"{name}: {error.name} is not there")


def test_the_visible_state_has_no_field_from_the_future() -> None:
    names = {field.name for kind in (VisibleState, EpisodeKey) for field in dataclasses.fields(kind)}
    assert names == {
        *("key", "policy", "tools", "messages", "turn", "noted"),
        *("benchmark", "domain", "task_id", "trial", "backbone", "strategy", "selector"),
    }
    for kind in (Message, ToolSpec):
        assert not {"reward", "gold", "gold_actions", "outcome", "success"} & set(kind.model_fields)
