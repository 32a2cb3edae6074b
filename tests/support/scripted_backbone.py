"""A scripted backbone for whole-loop tests: it knows the reference actions and has one known flaw."""

import asyncio
import json

from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions
from fama.models.base import ChatRequest
from fama.models.scripted import ScriptedModel
from fama.randomness import derive_seed

OPEN = '{"tool": "'
CLOSE = json.dumps({"tool": "close_case", "arguments": {"outcome": "refused"}})


def quitter(name: str, domain: str, splits: dict[str, int], seed: int = 0) -> ScriptedModel:
    """Follows the reference, but gives up when a tool is busy, unless a note tells it to call again.

    So the Verifier, whose note says that, is exactly the helper that this backbone needs. ``splits``
    says how many tasks of each split it knows; it recognises a task by the customer's first words.
    """
    scripts = {}
    for split, count in splits.items():
        for task_id in Helpdesk().task_ids(domain, split)[:count]:
            scripts[opening(domain, task_id, seed)] = [
                json.dumps({"tool": a.tool or "respond", "arguments": a.arguments or {"text": a.text}})
                for a in gold_actions(domain, task_id)
            ]

    def reply(request: ChatRequest) -> str:
        turns = [str(message["content"]) for message in request.messages]
        start = max(place for place, turn in enumerate(turns) if turn in scripts)
        said, heard = turns[start + 1 :: 2], turns[start + 2 :: 2]
        if heard and '"busy' in heard[-1]:
            action = said[-1] if "again" in request.prefill else CLOSE
        else:
            action = scripts[turns[start]][sum('"busy' not in answer for answer in heard)]
        return request.prefill + action.removeprefix(OPEN)

    return ScriptedModel(name, reply)


def opening(domain: str, task_id: str, seed: int) -> str:
    """The customer's first words in a task, as the backbone reads them."""
    environment = Helpdesk().environment(domain, task_id)
    first = asyncio.run(environment.reset(derive_seed(seed, "environment", "helpdesk", domain, task_id, 0)))
    return f"Customer: {first.content}"
