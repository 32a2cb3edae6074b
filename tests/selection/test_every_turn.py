"""``cadence: turn`` with every selector: asked before every decision, its propensity logged, budgets kept."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.episodes.records import Episode
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.helpers.pool import build_pool
from fama.models.base import ChatRequest
from fama.models.scripted import ScriptedModel
from fama.selection.base import Allowance
from fama.selection.budget import helper_cap, spent_tokens
from fama.selection.router.checkpoint import load_router
from fama.settings import HelperSettings, RunSettings, SelectorSettings
from fama.subsets import flagged
from tests.support.every_selector import Inputs
from tests.support.scripted_backbone import quitter

ASKING = '{"tool": "find_orders", "arguments": {"email": "a@example.com"}}'
PLAIN = [("none", {}), ("all", {}), ("irma", {}), ("rule", {}), ("fixed", {"subset": ["Memory"]})]
DRAWN = [("random", {"size": 1}), ("prompted", {"form": "one_call"})]


def reply(request: ChatRequest) -> str:
    if request.role == "selector":
        return request.prefill + '{"helpers": ["Memory"]}'.removeprefix(request.prefill)
    return request.prefill + ASKING.removeprefix('{"tool": "' if request.prefill.endswith('{"tool": "') else "")


async def run(
    out: Path, name: str, options: dict[str, Any], tasks: int = 2, model: ScriptedModel | None = None, **changes: Any
) -> list[Episode]:
    arm = SelectorSettings(name=name, options=options)
    ids = tuple(f"shop-dev-{number:04d}" for number in range(tasks))
    settings = RunSettings.model_validate(
        {"tasks": ids, "cadence": "turn", "helpers": {"reading": "patterns"}, "limits": {"steps": 4}, **changes}
    )
    model = model or ScriptedModel("scripted:looks", reply)
    await run_planned(settings, [Planned(task, 0, arm) for task in ids], out, model=model, progress=False)
    return list(read_episodes(out))


@pytest.mark.parametrize(("name", "options"), [*PLAIN, *DRAWN])
async def test_is_asked_before_every_decision(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    for episode in await run(tmp_path, name, options):
        assert len(episode.decisions) >= 3
        chance = pytest.approx(1 / 6) if name == "random" else 1.0
        assert [decision.propensity for decision in episode.decisions] == [chance] * len(episode.decisions)
        asked = [row.turn for row in episode.ledger if row.role == "selector"]
        assert asked == (list(range(len(episode.decisions))) if name == "prompted" else [])
        if name == "prompted":
            assert {decision.subset for decision in episode.decisions} == {("Memory",)}


async def test_a_random_arm_draws_anew_at_every_decision(tmp_path: Path) -> None:
    episodes = await run(tmp_path, "random", {"size": 1}, tasks=12)
    drawn = Counter(decision.subset for episode in episodes for decision in episode.decisions)
    assert len(drawn) == 6 and max(drawn.values()) < sum(drawn.values()) / 2
    assert any(len({decision.subset for decision in episode.decisions}) > 1 for episode in episodes)


async def test_a_router_is_asked_before_every_decision(tmp_path: Path) -> None:
    checkpoint = Inputs(tmp_path / "inputs").router("linear")
    for episode in await run(tmp_path / "run", "learned", {"checkpoint": checkpoint}):
        assert [decision.propensity for decision in episode.decisions] == [1.0] * len(episode.decisions)


@pytest.mark.parametrize(
    ("lam", "budget"),
    [(None, {}), (0.05, {"decision": 150}), (0.0, {"episode": 200}), (0.05, {"run": 900, "decision": 200})],
)
def test_a_run_decides_as_its_log_is_read(lam: float | None, budget: dict[str, int], tmp_path: Path) -> None:
    """A router for every turn chose what it chooses in the logged states, by what the log says was spent."""
    folder = Path("checkpoints/helpdesk-turn")
    options = {"checkpoint": str(folder)} | ({} if lam is None else {"lam": lam})
    model, limits = quitter("scripted:quitter", "shop", {"dev": 4}), {"steps": 30}
    episodes = asyncio.run(run(tmp_path, "learned", options, 4, model, budget=budget, limits=limits, concurrency=1))
    router, helpers = load_router(folder), build_pool(HelperSettings())
    costs = [helper_cap(helpers[name]) for name in router.manifest.pool]
    objective = router.objective() if lam is None else replace(router.objective(), lam=lam)
    before, noted, chosen = 0, 0, set()
    for episode in episodes:
        for decision in episode.decisions:
            spent = spent_tokens(episode, before=decision.turn)
            used = {"decision": 0, "episode": spent, "run": before + spent}
            left = [limit - used[name] for name, limit in budget.items()]
            choice = router.choose(
                router.featurise(state_at(episode, decision.turn)),
                Allowance(max(0, min(left))) if left else None,
                objective=objective,
                costs=costs,
            )
            assert decision.subset == flagged(choice.members, router.manifest.pool) and not decision.dropped
            noted += len(decision.notes)
            chosen.add(decision.subset)
        before += spent_tokens(episode)
    assert noted and len(chosen) > 1


@pytest.mark.parametrize("limit", ["decision", "episode", "run"])
async def test_budgets_hold_per_decision_episode_and_run(tmp_path: Path, limit: str) -> None:
    held = await run(tmp_path, "all", {}, budget={limit: 330})
    spent = [[sum(note.tokens for note in one.notes) for one in episode.decisions] for episode in held]
    by_limit = {
        "decision": max(max(turns) for turns in spent),
        "episode": max(sum(turns) for turns in spent),
        "run": sum(map(sum, spent)),
    }
    assert 0 < by_limit[limit] <= 330
    cut = [decision for episode in held for decision in episode.decisions if decision.dropped]
    assert cut and all(decision.propensity is None for decision in cut)
