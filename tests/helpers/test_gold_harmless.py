"""On reference conversations, where nothing goes wrong, no note may do harm."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from fama.dialogue.tools import view
from fama.envs.base import BENCHMARKS
from fama.envs.helpdesk.gold import gold_actions, play
from fama.episodes.records import Message, Note
from fama.episodes.state import RESPOND, VisibleState
from fama.helpers.base import HelperContext
from fama.helpers.note_check import check_note
from fama.helpers.pool import build_pool
from fama.settings import HelperSettings
from fama.subsets import POOL
from fama.text.tokens import estimate_tokens

TASKS = 48
#: Highest share of decisions that a helper may speak at, when nothing is wrong.
SPEAKS = {"DCE": 0.15, "TSA": 0.6, "TOR": 0.2, "Planner": 0.1, "Verifier": 0.25, "Memory": 0.1}


def next_tool(message: Message) -> str:
    return message.tool_calls[0].function.name if message.tool_calls else RESPOND


def first_named(text: str, tools: Iterable[str]) -> list[str]:
    """The tool that a note leads to: the first it names (``respond. Ask for a yes to cancel_order``)."""
    return sorted((tool for tool in tools if tool in text), key=text.index)[:1]


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_notes_on_reference_conversations(domain: str) -> None:
    benchmark = BENCHMARKS.load("helpdesk")()
    pool = build_pool(HelperSettings())
    decisions, named_next, named = 0, 0, 0
    spoke: Counter[str] = Counter()
    harm: list[str] = []
    for task_id in benchmark.task_ids(domain, "dev")[:TASKS]:
        environment = benchmark.environment(domain, task_id)
        played = await play(environment, gold_actions(domain, task_id), 0)
        assert played.reward.success
        state = VisibleState(environment.policy, environment.tools, ())
        kinds = {tool.name: view(tool).kind for tool in environment.tools}
        for index, message in enumerate(played.messages):
            if message.role != "assistant":
                continue
            decisions += 1
            state = replace(state, messages=played.messages[:index], turn=state.turn + 1)
            for name, helper in pool.items():
                text = (await helper.note(state, HelperContext())).text
                if text is None:
                    continue
                spoke[name] += 1
                state = replace(state, noted=(*state.noted, (state.turn, Note(helper=name, text=text, tokens=1))))
                if reason := check_note(helper, text, state):
                    harm.append(f"{task_id} {name}: {text!r}: {reason}")
                for tool in first_named(text, (*kinds, RESPOND)):
                    named += 1
                    named_next += tool == next_tool(message)
                    if tool != next_tool(message) and kinds.get(tool) not in ("read", None):
                        harm.append(f"{task_id} {name}: {text!r} before {next_tool(message)}")
                assert estimate_tokens(text) <= helper.token_cap
    assert harm == []
    assert set(spoke) <= set(POOL)
    for name, most in SPEAKS.items():
        assert spoke[name] / decisions <= most, f"{name} speaks at {spoke[name]} of {decisions} decisions"
    assert named_next / named >= 0.7
