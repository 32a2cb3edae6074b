"""Mining τ-bench and τ²-bench with the user of the log, and what such a user cannot answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs.base import BENCHMARKS, Action
from fama.mining.records import Repair
from fama.mining.runner import MinedFolder, mine_folder
from fama.mining.settings import MineSettings
from fama.models.scripted import SCRIPTED, ScriptedModel
from fama.settings import RunSettings, SelectorSettings
from tests.support.gold_agents import AGENT, STOP, USER, gold_agent
from tests.support.tau2_tasks import reference
from tests.support.tau_toys import airline
from tests.support.toy_agents import told

SAYS = "a recorded user cannot answer words that are not in the log"


@pytest.fixture
def tau_airline(tmp_path: Path) -> Iterator[None]:
    with airline(tmp_path):
        yield


async def plain(tmp_path: Path, benchmark: str, domain: str, split: str, task: str) -> Path:
    tree = {
        "benchmark": benchmark,
        "domain": domain,
        "split": split,
        "tasks": [task],
        "demonstrations": 0,
        "helpers": {"pool": ["Alpha"]},
        "model": {"name": AGENT},
        "user_model": {"name": USER},
    }
    plan = [Planned(task, 0, SelectorSettings())]
    await run_planned(RunSettings.model_validate(tree), plan, tmp_path / "plain", progress=False)
    (episode,) = told(tmp_path / "plain").values()
    assert episode["outcome"]["status"] == "failure"
    return tmp_path / "plain"


async def mined(folder: Path, user: str) -> MinedFolder:
    settings = MineSettings.model_validate({"user": user, "solved": 0})
    return await mine_folder(folder, settings, folder.parent / user)


def only(found: MinedFolder) -> Repair:
    assert found.refused == ()
    (record,) = found.records
    return record


@pytest.mark.parametrize(("domain", "split", "task"), [("mock", "base", "create_task_1"), ("retail", "test", None)])
async def test_tau2_with_the_logged_user(domain: str, split: str, task: str | None, tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    task = task or BENCHMARKS.load("tau2")().task_ids(domain, split)[0]
    actions = reference(domain, task)
    last = len(actions) - 2  # the last call; after it the agent speaks words that the log does not hold
    with gold_agent(actions, last, greeted=True):
        folder = await plain(tmp_path, "tau2", domain, split, task)
        live, recorded = only(await mined(folder, "live")), only(await mined(folder, "recorded"))
        alone = only(await mined(folder, "recorded_only"))
    assert (live.verdict, live.members, live.decisive) == ("repaired", ("Alpha",), last)
    assert recorded.interventions == live.interventions
    assert recorded.calls == live.calls - 2  # both turns of the user come from the log
    assert alone.verdict == "not repaired by this pool"
    (branch,) = [one for one in alone.interventions if one.outcome != "same action"]
    assert (branch.decision, branch.outcome) == (last, "error")
    assert SAYS in branch.reason
    assert live.proven is True and alone.proven is False  # what nobody answered is unknown


async def test_a_recorded_user_needs_no_model(tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    task = "create_task_1"
    actions = [
        *reference("mock", task)[:-1],
        Action(tool=None, text=f"Done. {STOP}"),
    ]  # the agent may hang up, too
    with gold_agent(actions, len(actions) - 2, greeted=True):
        folder = await plain(tmp_path, "tau2", "mock", "base", task)
        SCRIPTED.remove(USER.partition(":")[2])
        try:
            alone = only(await mined(folder, "recorded_only"))
        finally:
            SCRIPTED.add(USER.partition(":")[2], ScriptedModel(USER, lambda _: STOP))
    assert (alone.verdict, alone.members) == ("repaired", ("Alpha",))


async def test_a_user_with_tools_cannot_be_recorded(tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    task = BENCHMARKS.load("tau2")().task_ids("telecom", "test")[0]
    with gold_agent([Action(tool=None, text="Done.")], 0, greeted=True):
        folder = await plain(tmp_path, "tau2", "telecom", "test", task)
        found = await mined(folder, "recorded")
        live = await mined(folder, "live")
    assert found.records == ()
    (refused,) = found.refused
    assert "not mined: the replay fails: " in refused and "calls of its own tools, which no log holds" in refused
    assert len(live.records) == 1


async def test_a_conversation_that_starts_in_the_middle_is_recorded_from_there(tmp_path: Path) -> None:
    pytest.importorskip("tau2", reason="tau2 is not installed: pip install -e '.[tau2]'")
    with gold_agent([Action(tool=None, text="Done.")], 9, greeted=True):
        folder = await plain(tmp_path, "tau2", "mock", "base", "update_task_with_message_history")
        found = await mined(folder, "recorded")
    assert only(found).verdict == "not repaired by this pool"


async def test_tau_bench_with_the_logged_user(tau_airline: None, tmp_path: Path) -> None:
    actions = [Action(tool="book", arguments={"id": "1"}), Action(tool=None, text="Done.")]
    with gold_agent(actions, 0, greeted=False):
        folder = await plain(tmp_path, "tau_bench", "airline", "test", "1")
        live, recorded = only(await mined(folder, "live")), only(await mined(folder, "recorded"))
        alone = only(await mined(folder, "recorded_only"))
    assert (live.verdict, live.members, live.decisive) == ("repaired", ("Alpha",), 0)
    assert recorded.interventions == live.interventions
    assert (alone.interventions[0].outcome, alone.verdict) == ("error", "not repaired by this pool")
    assert SAYS in alone.interventions[0].reason
