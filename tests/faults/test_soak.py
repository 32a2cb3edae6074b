"""Thousands of scripted episodes with a share of every kind of fault: none lost, none there twice, memory flat."""

import asyncio
import errno
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fama.agents.runs.plan import Planned
from fama.agents.runs.runner import run_planned
from fama.envs.base import Action, Observation
from fama.episodes.store import EpisodeStore, read_episodes
from fama.errors import EnvironmentFault, FamaError, ModelError, UserFault
from fama.models.base import ChatReply, ChatRequest
from fama.models.client import ContextOverflow
from fama.models.scripted import ScriptedModel
from fama.selection.budget import spent_tokens
from fama.settings import RunSettings, SelectorSettings
from tests.support.toy_agents import GOLD, Lamps, LampWorld

TASKS = 50
#: every kind of fault hits one episode in a hundred, always the same ones, at its first try
EVERY = 100
IN_THE_MODEL = ("no answer", "overflow", "bug", "no action", "timeout")
IN_THE_WORLD = ("environment", "user", "bug in the world")
ON_THE_DISK = ("full disk", "killed")
KINDS = (*IN_THE_MODEL, *IN_THE_WORLD, *ON_THE_DISK)


def fate(task: str, trial: int) -> str | None:
    """The fault that an episode meets."""
    place = zlib.crc32(f"{task}/{trial}".encode()) % EVERY
    return KINDS[place] if place < len(KINDS) else None


class Killed(BaseException):
    """Stands for a process that ends here: nothing after it is done."""


class Faults:
    """Hands every fault out once."""

    def __init__(self) -> None:
        self.met: Counter[str] = Counter()
        self._done: set[tuple[str, int]] = set()

    def due(self, task: str, trial: int, kinds: tuple[str, ...]) -> str | None:
        """The fault that is due now, if it is one of these; it will not be again."""
        kind = fate(task, trial)
        if kind not in kinds or (task, trial) in self._done:
            return None
        self._done.add((task, trial))
        self.met[kind] += 1
        return kind


class World(LampWorld):
    """A lamp world that fails when its fate says so."""

    faults: Faults

    async def step(self, action: Action) -> Observation:
        """A fault of the environment, of the user or in the code, or the world's own answer."""
        kind = self.faults.due(self.task_id, current(), IN_THE_WORLD)
        if kind == "environment":
            raise EnvironmentFault("scripted: the fuse blew")
        if kind == "user":
            raise UserFault("scripted: the user left")
        if kind == "bug in the world":
            raise ZeroDivisionError("scripted")
        return await super().step(action)


_TRIAL = [0]


def current() -> int:
    """The trial that is being run; one after the other, so one number is enough."""
    return _TRIAL[0]


class Backbone(ScriptedModel):
    """Solves every task, unless a fault is due."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("scripted:soak", lambda request: "")
        self._faults = faults

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The gold action by the history, or the fault."""
        await asyncio.sleep(0)
        _TRIAL[0] = request.trial
        text = str([message["content"] for message in request.messages])
        task = text.rpartition("lamp in the ")[2].split()[0]
        kind = self._faults.due(task, request.trial, IN_THE_MODEL)
        if kind == "no answer":
            raise ModelError("scripted: no answer")
        if kind == "overflow":
            raise ContextOverflow("scripted: too long")
        if kind == "bug":
            raise KeyError("scripted")
        if kind == "timeout":
            raise TimeoutError("scripted")
        if kind == "no action":
            self._reply = lambda _: "{{{"
        else:
            action = GOLD[2] if "Tool result: ok" in text else GOLD[1] if "L1" in text else GOLD[0]
            self._reply = lambda _: action
        return await super().complete(request)


def memory() -> int:
    """Resident bytes of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads its memory from /proc")
@pytest.mark.parametrize(
    "episodes", [200, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])], ids=str
)
async def test_soak(episodes: int, tmp_path: Path, lamps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults()
    plan = [Planned(f"t{n % TASKS}", n // TASKS, SelectorSettings(name="all")) for n in range(episodes)]
    expected = Counter(kind for planned in plan if (kind := fate(planned.task_id, planned.trial)))
    monkeypatch.setattr(World, "faults", faults, raising=False)
    monkeypatch.setattr(Lamps, "environment", lambda self, domain, task_id, user=None: World(task_id))
    tree = {"benchmark": "lamps", "domain": "house", "demonstrations": 0, "stop_after": 0}
    settings = RunSettings.model_validate({**tree, "helpers": {"pool": ["TSA"]}, "budget": {"run": 10**9}})
    append, parts = EpisodeStore.append, 0
    levels: list[int] = []

    def broken(store: EpisodeStore, episode: Any) -> None:
        kind = faults.due(episode.task_id, episode.trial, ON_THE_DISK)
        if kind == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(store.path))
        if kind == "killed":
            with store.path.open("ab") as file:
                file.write(episode.model_dump_json().encode()[:100])
            raise Killed
        append(store, episode)
        if episode.trial % 10 == 0 and episode.task_id == "t0":
            levels.append(memory())

    monkeypatch.setattr(EpisodeStore, "append", broken)
    while True:  # the same command again and again, as its user would
        parts += 1
        assert parts <= episodes
        try:
            await run_planned(settings, plan, tmp_path, model=Backbone(faults), progress=False)
        except (OSError, Killed, FamaError):
            continue
        if all(episode.outcome.status != "error" for episode in read_episodes(tmp_path)):
            break
    assert faults.met == expected and sum(expected.values()) > 0
    found = list(read_episodes(tmp_path))
    places = Counter((episode.task_id, episode.trial) for episode in found)
    assert len(found) == len({episode.id for episode in found}) == episodes  # none lost, none double
    assert set(places) == {(planned.task_id, planned.trial) for planned in plan} and max(places.values()) == 1
    assert {episode.outcome.status for episode in found} == {"success"}
    errors = Counter(fate(e.task_id, e.trial) for e in EpisodeStore(tmp_path).aside())
    assert errors == {kind: n for kind, n in expected.items() if kind not in (*ON_THE_DISK, "no action")}
    assert sum(map(spent_tokens, found)) > 0
    if episodes >= 5000:
        assert levels[-1] - levels[1] < 50_000_000, levels  # bytes, over nine tenths of the episodes
