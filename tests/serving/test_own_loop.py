"""``fama run`` through ``fama serve``: the endpoint's notes before a plain agent are those of a run with helpers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fama.cli import main
from fama.envs.helpdesk.benchmark import Helpdesk
from fama.envs.helpdesk.gold import gold_actions
from fama.episodes.records import Decision, Episode
from fama.episodes.store import read_episodes
from fama.randomness import derive_seed
from fama.serving.server import advisor_of
from fama.serving.settings import ServeSettings
from fama.settings import HelperSettings
from tests.support.serving import ScriptedUpstream, Tree, completion, endpoint, plain

LINEAR = str(Path(__file__).parents[2] / "checkpoints/helpdesk-linear")
TASKS = ["shop-dev-0001", "shop-dev-0002"]
BASE = ["split=dev", f"tasks=[{', '.join(TASKS)}]", "strategy=fc", "placement=user", "demonstrations=0"]


class Heedful:
    """An upstream's agent: it knows the reference, but closes the case at its third decision if no note is there."""

    def __init__(self) -> None:
        self.scripts = {_opening(task): gold_actions("shop", task) for task in TASKS}

    def __call__(self, asked: Tree) -> Tree:
        heard = [message for message in asked["messages"] if message["role"] != "system"]
        actions = next(actions for said, actions in self.scripts.items() if heard[0]["content"].startswith(said))
        turn = sum(message["role"] == "assistant" for message in heard)
        if turn == 2 and "Note: " not in heard[-1]["content"]:
            return _call("close_case", {"outcome": "refused"}, turn)
        action = actions[min(turn, len(actions) - 1)]
        return completion(action.text) if action.tool is None else _call(action.tool, action.arguments, turn)


def _call(name: str, arguments: dict[str, Any], place: int) -> Tree:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return completion(None, tool_calls=[{"id": f"call_{place}", "type": "function", "function": function}])


def _opening(task: str) -> str:
    seed = derive_seed(0, "environment", "helpdesk", "shop", task, 0)
    return str(asyncio.run(Helpdesk().environment("shop", task).reset(seed)).content)


def run(base_url: str, out: Path, *words: str) -> list[Episode]:
    model = f"model={{name: m, base_url: '{base_url}', retries: 0}}"
    assert main(["run", *BASE, model, "helpers.reading=patterns", *words, "--out", str(out)]) == 0
    return sorted(read_episodes(out), key=lambda episode: episode.task_id)


def spoken(episode: Episode) -> list[tuple[str, str, Any]]:
    """Role, text and calls of each message; an empty text is none, and a run numbers its calls itself."""
    return [(m.role, m.content or "", [c.function for c in m.tool_calls or ()]) for m in episode.messages]


def chosen(decisions: tuple[Decision, ...]) -> list[Any]:
    """Decisions without the seconds that they took."""
    return [decision.model_dump(exclude={"seconds"}) for decision in decisions]


@pytest.mark.parametrize(("price", "status"), [(0.2, "success"), (1.0, "failure")])
def test_a_run_through_the_endpoint_is_the_run_in_process(price: float, status: str, tmp_path: Path) -> None:
    selector = f"{{name: learned, options: {{checkpoint: {LINEAR}, lam: {price}}}}}"
    up = ScriptedUpstream()
    up.answer = Heedful()
    with plain(up.app) as address:
        here = run(f"{address}/v1", tmp_path / "here", "cadence=turn", f"selector={selector}")
        asked_here, up.asked = up.asked, []
        wanted = ServeSettings(
            router=LINEAR,
            price=price,
            upstream=address,
            helpers=HelperSettings(reading="patterns"),
            benchmark="helpdesk",
            domain="shop",
        )
        with advisor_of(wanted) as advisor, endpoint(address, advisor, record={"folder": tmp_path / "log"}) as served:
            there = run(served.base_url, tmp_path / "there", "selector.name=none")
    assert [(e.task_id, e.outcome, e.reward) for e in there] == [(e.task_id, e.outcome, e.reward) for e in here]
    assert [e.messages for e in there] == [e.messages for e in here]
    assert up.asked == asked_here, "the upstream is sent the same bytes of notes at the same places"

    logged = {str(e.messages[1].content): e for e in read_episodes(tmp_path / "log")}
    assert len(logged) == len(TASKS)
    for episode in here:
        recorded = logged[str(episode.messages[1].content)]
        assert chosen(recorded.decisions) == chosen(episode.decisions)
        assert spoken(recorded)[1:] == spoken(episode)[1 : len(recorded.messages)]
    subsets = {decision.subset for episode in here for decision in episode.decisions}
    assert len(subsets) == (2 if status == "success" else 1), "the router chose"
    assert [e.outcome.status for e in here] == [status] * len(TASKS)
