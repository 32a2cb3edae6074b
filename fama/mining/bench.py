"""Shared state of the mined episodes of a folder, and the set-up of each execution."""

from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any
from weakref import WeakKeyDictionary

from fama.agents.decision import Decided
from fama.agents.loop import run_episode
from fama.agents.runs.plan import Planned
from fama.agents.runs.stage import Stage, build_selector, opened_stage
from fama.agents.setup import EpisodeSetup
from fama.envs.base import Benchmark, UserModel
from fama.episodes.records import Episode, LedgerRow
from fama.episodes.state import VisibleState, state_at
from fama.helpers.base import Helper
from fama.mining.meter import Meter, Metered
from fama.mining.replay import RecordedUser, Replay, ReplayingDecider
from fama.mining.schedule import Base, Schedule, ScheduleSelector
from fama.mining.settings import MineSettings
from fama.models.base import ChatModel, Sampling
from fama.randomness import derive_seed
from fama.selection.asking import room_for
from fama.selection.base import SELECTORS, Allowance, AnySelector, Selection, select_for
from fama.selection.budget import RunBudget, spent_tokens
from fama.settings import ExperimentSettings, RunSettings, SelectorSettings
from fama.subsets import Subset


@dataclass(frozen=True)
class Bench:
    """The experiment of a mined folder with its models connected.

    ``stage`` has ``cadence: turn`` and the mined arm's limits; ``selector`` is that arm.
    """

    stage: Stage
    mine: MineSettings
    selector: SelectorSettings = SelectorSettings()
    _metered: MutableMapping[Meter, AnySelector] = field(default_factory=WeakKeyDictionary)

    @property
    def settings(self) -> ExperimentSettings:
        """Return the settings of every execution."""
        return self.stage.settings

    @property
    def helpers(self) -> Mapping[str, Helper]:
        """Return the pool by name."""
        return self.stage.context.helpers

    @property
    def pool(self) -> Subset:
        """Return the names of the pool, in its order."""
        return tuple(self.helpers)

    async def execute(self, schedule: Schedule, replay: Replay, meter: Meter, draw: int = 0) -> Episode:
        """Run a logged episode's task with a schedule, decisions as logged where they are still ``replay.on``.

        ``draw`` numbers continuations; 0 has the log's own random streams.
        """
        setup = self._setup(schedule, replay, meter, draw)
        return await run_episode(setup, self.settings, partial(ReplayingDecider, replay=replay))

    async def decide(
        self, log: Episode, turn: int, schedule: Schedule, meter: Meter, ledger: list[LedgerRow], draw: int = 0
    ) -> Decided:
        """Decide once in the state before a decision of an episode; what it costs is added to ``ledger``.

        Raises:
            ModelError: a model failed.
        """
        replay = Replay(log)
        setup = self._setup(schedule, replay, meter, draw)
        state = state_at(log, turn)
        if setup.reader is not None:
            state = replace(state, readings=setup.reader.read(state))
        setup.budget.charge(spent_tokens(log, before=turn))
        decider = ReplayingDecider(setup, self.settings, ledger, replay)
        return await decider.decide(state, log.decisions[turn].message_index)

    def _setup(self, schedule: Schedule, replay: Replay, meter: Meter, draw: int) -> EpisodeSetup:
        log = replay.log
        plain = self.stage.setup(
            log.id, Planned(log.task_id, log.trial, SelectorSettings()), RunBudget(self.settings.budget).episode()
        )
        seeds = dict(log.seeds)
        if draw:
            seeds["model"] = derive_seed(self.mine.seed, "mining.continuation", *log.key.stream, draw)
        helper_model = self.stage.context.model
        return replace(
            plain,
            environment=partial(
                self.stage.benchmark.environment, log.domain, log.task_id, *self._player(replay, meter)
            ),
            model=Metered(self.stage.model, meter),
            helper_model=None if helper_model is None else Metered(helper_model, meter),
            selector=ScheduleSelector(schedule, self.pool, self._base(replay, meter)),
            arm="repair",
            reader=self.stage.reader,
            seeds=seeds,
        )

    def _base(self, replay: Replay, meter: Meter) -> Base | None:
        """Return what the mined arm chooses: as logged while nothing has changed, notes included, then its selector."""
        if self.mine.base == "none":
            return None
        log, selector = replay.log, self._selector(meter)

        async def select(state: VisibleState, allowance: Allowance, rng: Random) -> Selection:
            if replay.on and state.turn < len(log.decisions) and state.noted == state_at(log, state.turn).noted:
                billed = [row for row in log.ledger if row.turn == state.turn and row.role == "selector"]
                rows = tuple(row.model_copy(update={"cache_hit": True}) for row in billed)
                return Selection(log.decisions[state.turn].subset, {}, ledger=rows)
            if room_for(log.key.task, selector, state, allowance) is None:
                return Selection((), {}, propensity=None)
            return await select_for(log.key, selector, state, allowance, rng)

        return select

    def _selector(self, meter: Meter) -> AnySelector:
        """Return the mined arm's selector; of one that asks a model, one per meter, which counts its calls."""
        model = self.stage.context.model
        if model is None or not SELECTORS.traits(self.selector.name).asks_model:
            return self.stage.selector(self.selector)
        if meter not in self._metered:
            context = replace(self.stage.context, model=Metered(model, meter))
            self._metered[meter] = build_selector(context, self.selector)
        return self._metered[meter]

    def _player(self, replay: Replay, meter: Meter) -> tuple[UserModel, ...]:
        wanted = self.settings.user_model
        live: ChatModel | None = None if self.stage.user is None else Metered(self.stage.user, meter)
        sampling = Sampling() if wanted is None else Sampling(wanted.temperature, wanted.top_p, wanted.max_tokens)
        if self.mine.user != "live":
            return (UserModel(RecordedUser(replay, live), sampling, replay.log.trial),)
        return () if live is None else (UserModel(live, sampling, replay.log.trial),)


@asynccontextmanager
async def opened_bench(
    settings: RunSettings,
    benchmark: Benchmark,
    mine: MineSettings,
    content: Mapping[str, Any],
    model: ChatModel | None = None,
    helper_model: ChatModel | None = None,
) -> AsyncIterator[Bench]:
    """Connect the models of a mined folder for the length of the block; ``content`` is its ``config.json``.

    Models that are given answer in place of the settings'.

    Raises:
        BadInput: a helper is unknown.
        FamaError: a model cannot be reached.
    """
    async with opened_stage(settings, benchmark, content, model=model, helper_model=helper_model) as stage:
        yield Bench(stage, mine, settings.selector)
