"""On the embedded benchmark: gold transcripts give no finding, and broken ones give each category."""

import json
import re
from collections.abc import Sequence

import pytest

from fama.diagnosis.detectors.base import collect_findings
from fama.diagnosis.orchestrator import Merged, by_rule
from fama.diagnosis.taxonomy import load_taxonomy
from fama.diagnosis.trace import Trace
from fama.envs.base import Action
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions, play
from fama.episodes.records import Episode, Message, Outcome

# the detectors read consent by patterns, which fit this set of phrases alone
BENCHMARK, TAXONOMY = Helpdesk(phrases="first"), load_taxonomy()
CHANGES = {
    "shop": {"cancel_order", "return_item", "exchange_item", "change_address"},
    "saas": {"change_seats", "change_plan", "refund_invoice", "change_role", "deactivate_user"},
}


async def played(domain: str, task_id: str, actions: Sequence[Action]) -> Episode:
    environment = BENCHMARK.environment(domain, task_id)
    run = await play(environment, actions, seed=0)
    return Episode(
        id=task_id,
        benchmark="helpdesk",
        domain=domain,
        task_id=task_id,
        messages=(Message(role="system", content=environment.policy), *run.messages),
        tools=environment.tools,
        outcome=Outcome(status="success" if run.reward.success else "failure", reason=run.reason),
        reward_detail=run.reward.detail,
        gold_actions=run.reward.gold_actions,
    )


async def label(domain: str, task_id: str, actions: Sequence[Action]) -> Merged | None:
    """The rule's label, None when the task succeeded all the same."""
    episode = await played(domain, task_id, actions)
    if episode.outcome.status == "success":
        return None
    trace = Trace.of(episode)
    return by_rule(trace, collect_findings(trace, TAXONOMY), TAXONOMY)


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_gold_transcripts_give_no_finding(domain: str) -> None:
    for task_id in BENCHMARK.task_ids(domain, "dev")[:40]:
        episode = await played(domain, task_id, gold_actions(domain, task_id))
        assert episode.outcome.status == "success"
        found = collect_findings(Trace.of(episode), TAXONOMY)
        # a reference may name an id to the user that it knew without looking it up
        assert [item for item in found if item.source != "invented:stated"] == [], task_id


def changing(domain: str) -> list[tuple[str, list[Action]]]:
    """Tasks that need a change, with their reference actions."""
    tasks = [(task, gold_actions(domain, task)) for task in BENCHMARK.task_ids(domain, "dev")[:40]]
    return [(task, acts) for task, acts in tasks if any(a.tool in CHANGES[domain] for a in acts)]


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_a_dropped_change_is_incomplete(domain: str) -> None:
    for task, actions in changing(domain):
        last = max(i for i, action in enumerate(actions) if action.tool in CHANGES[domain])
        merged = await label(domain, task, [a for i, a in enumerate(actions) if i != last])
        assert merged is not None and "IFU" in merged.categories, (task, merged)


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_a_skipped_verification_is_a_violation(domain: str) -> None:
    for task, actions in changing(domain):
        kept = [a for a in actions if not (a.tool or "").startswith("verify_")]
        merged = await label(domain, task, kept)
        assert merged is not None and merged.primary == ("DCV",), (task, merged)


async def test_another_item_of_the_order_is_a_wrong_retrieval() -> None:
    seen = 0
    for task, actions in changing("shop"):
        for place, action in enumerate(actions):
            if action.tool != "return_item":
                continue
            episode = await played("shop", task, actions[:place])
            text = " ".join(m.content or "" for m in episode.messages if m.role == "tool")
            ids = sorted(set(re.findall(r"\bI\d{4}\b", text)) - {action.arguments["item_id"]})
            if not ids:
                continue
            wrong = Action(tool=action.tool, arguments={**action.arguments, "item_id": ids[0]})
            merged = await label("shop", task, [*actions[:place], wrong, *actions[place + 1 :]])
            if merged is not None and not any("error" in (m.content or "") for m in episode.messages):
                assert "WRCO" in merged.categories, (task, merged)
                seen += merged.primary == ("WRCO",)
    assert seen >= 1


@pytest.mark.parametrize(
    ("domain", "tool", "key"), [("shop", "get_order", "order_id"), ("saas", "change_role", "user_id")]
)
async def test_an_invented_id_is_a_hallucination(domain: str, tool: str, key: str) -> None:
    seen = 0
    for task, actions in changing(domain):
        place = next((i for i, action in enumerate(actions) if action.tool == tool), None)
        if place is None:
            continue
        invented = Action(tool=tool, arguments={**actions[place].arguments, key: "W00001"})
        goodbye = Action(tool="close_case", arguments={"outcome": "resolved"})
        merged = await label(domain, task, [*actions[:place], invented, goodbye])
        assert merged is not None and "CM" in merged.primary, (task, json.dumps(merged.__dict__, default=str))
        seen += 1
    assert seen >= 3


@pytest.mark.parametrize("domain", ["shop", "saas"])
async def test_a_forbidden_change_is_a_violation(domain: str) -> None:
    _, donor = next(pair for pair in changing(domain))
    change = next(action for action in donor if action.tool in CHANGES[domain])
    for task in BENCHMARK.task_ids(domain, "dev")[:40]:
        actions = gold_actions(domain, task)
        if any(a.tool in CHANGES[domain] for a in actions) or actions[-1].arguments.get("outcome") != "refused":
            continue
        ids = {k: v for a in actions for k, v in a.arguments.items()}
        wrong = Action(tool=change.tool, arguments={k: ids.get(k, v) for k, v in change.arguments.items()})
        episode = await played(domain, task, [*actions[:-1], wrong, actions[-1]])
        trace = Trace.of(episode)
        if trace.writes:
            merged = by_rule(trace, collect_findings(trace, TAXONOMY), TAXONOMY)
            assert merged.primary == ("DCV",), (task, merged)
