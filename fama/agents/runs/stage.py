"""Shared state of a run's episodes (benchmark, models, selectors), and the set-up of each."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from fama.agents.agent_request import demonstrations_of, requester
from fama.agents.reading.reader import Reader, shipped_reader
from fama.agents.runs.plan import Planned
from fama.agents.runs.run_config import with_reading
from fama.agents.setup import EpisodeSetup
from fama.envs.base import Benchmark, UserModel
from fama.envs.mixed import MixedDomains
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Failure
from fama.errors import BadInput
from fama.hashing import content_hash
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel, Sampling
from fama.randomness import derive_seed
from fama.selection.base import SELECTORS, AnySelector, SelectorContext
from fama.selection.budget import Budget
from fama.settings import ExperimentSettings, SelectorSettings, domains_of


@dataclass
class Stage:
    """Benchmark, models and selectors that the episodes of a run share."""

    settings: ExperimentSettings
    benchmark: Benchmark
    model: ChatModel
    user: ChatModel | None
    context: SelectorContext
    content: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.worlds = MixedDomains(self.benchmark)
        self._demonstrations = {
            domain: demonstrations_of(self.settings, self.worlds, domain) for domain in domains_of(self.settings.domain)
        }
        self._selectors: dict[str, AnySelector] = {}

    @cached_property
    def reader(self) -> Reader | None:
        """Return the reader of user turns, loaded on first use; None where they are left to patterns.

        Raises:
            BadInput: its encoder is not installed.
        """
        return shipped_reader(self.settings.helpers.reading) if self.context.helpers else None

    def setup(self, id_: str, planned: Planned, budget: Budget) -> EpisodeSetup:
        """Set up one episode with seeds that do not depend on the arm, so that arms are paired."""
        settings = self.settings
        domain = self.worlds.domain_of(settings.domain, planned.task_id)
        key = EpisodeKey(
            benchmark=settings.benchmark,
            domain=domain,
            task_id=planned.task_id,
            trial=planned.trial,
            backbone=self.model.name,
            strategy=settings.strategy,
        )
        return EpisodeSetup(
            id=id_,
            key=key,
            environment=partial(self.benchmark.environment, domain, planned.task_id, *self._player(planned.trial)),
            model=self.model,
            selector=self.selector(planned.selector),
            arm=planned.selector.arm,
            cadence=planned.selector.cadence,
            budget=budget,
            seeds={
                "environment": derive_seed(settings.seed, "environment", *key.stream),
                "model": derive_seed(settings.seed, "model", *key.stream),
                "selector": derive_seed(settings.seed, "selector", *key.stream, planned.selector.arm),
            },
            helpers=self.context.helpers,
            helper_model=self.context.model,
            demonstrations=self._demonstrations[domain],
            benchmark_version=self.worlds.version(domain),
            reader=None if self._plain(planned.selector) else self.reader,
            prompt_hashes=with_reading(self.content["prompts"], settings.helpers),
            config_hash=self.content["config_hash"],
            commit=self.content.get("git_commit"),
        )

    @staticmethod
    def _plain(selector: SelectorSettings) -> bool:
        """Return whether an arm never has a helper, so that nobody reads its user turns and no encoder is needed."""
        return SELECTORS.traits(selector.name).plain

    def _player(self, trial: int) -> tuple[UserModel, ...]:
        """Return the model that plays the user; nothing for a scripted one."""
        wanted = self.settings.user_model
        if self.user is None or wanted is None:
            return ()
        return (UserModel(self.user, Sampling(wanted.temperature, wanted.top_p, wanted.max_tokens), trial),)

    def selector(self, wanted: SelectorSettings) -> AnySelector:
        """Return the selector of an arm; arms with the same options share one.

        Raises:
            BadInput: the selector is unknown, does not take its options, or its helpers' reader cannot be loaded.
        """
        if not self._plain(wanted):
            _ = self.reader
        key = content_hash([wanted.name, wanted.options, wanted.cadence])
        if key not in self._selectors:
            self._selectors[key] = build_selector(self.context, wanted)
        return self._selectors[key]


def build_selector(context: SelectorContext, wanted: SelectorSettings) -> AnySelector:
    """Build the selector of an arm.

    Raises:
        BadInput: the selector is unknown, or does not take its options.
    """
    own = context if wanted.cadence is None else replace(context, cadence=wanted.cadence)
    try:
        return SELECTORS.load(wanted.name)(own, **wanted.options)
    except TypeError as error:
        raise BadInput(f"selector {wanted.arm!r}: options: {error}; fix its options") from error


@asynccontextmanager
async def opened_stage(
    settings: ExperimentSettings,
    benchmark: Benchmark,
    content: Mapping[str, Any],
    *,
    model: ChatModel | None = None,
    helper_model: ChatModel | None = None,
    failures: Mapping[str, Failure] | None = None,
    outcomes: str | None = None,
) -> AsyncIterator[Stage]:
    """Connect the models that are not given, for the length of the block.

    ``content`` is that of ``config.json``. Selectors see ``failures``, by task, on the retrospective track, and
    ``outcomes``, a table to learn from.

    Raises:
        BadInput: a helper is unknown.
        FamaError: a model cannot be reached.
    """
    from fama.models.connect import connect, connect_helper

    helpers = build_pool(settings.helpers)
    async with AsyncExitStack() as stack:
        if model is None:
            model = await stack.enter_async_context(connect(settings.model))
        if helper_model is None and settings.helper_model is not None:
            helper_model = await stack.enter_async_context(connect_helper(settings.helper_model))
        user = None if settings.user_model is None else await stack.enter_async_context(connect(settings.user_model))
        context = SelectorContext(
            helpers,
            helper_model or model,
            failures,
            outcomes,
            settings.seed,
            request=requester(settings, benchmark),
            cadence=settings.cadence,
        )
        yield Stage(settings, benchmark, model, user, context, content)
