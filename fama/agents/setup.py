"""The set-up of an episode."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fama.agents.reading.reader import Reader
from fama.envs.base import Environment
from fama.episodes.keys import EpisodeKey
from fama.episodes.records import Message
from fama.helpers.base import Helper
from fama.models.base import ChatModel
from fama.selection.base import AnySelector
from fama.selection.budget import Budget
from fama.settings import Cadence


@dataclass(frozen=True)
class EpisodeSetup:
    """Everything that an episode needs besides its settings.

    ``environment`` makes the task's world, so that a failure to make it is an error of this episode
    only. ``helper_model`` serves helpers in their LLM form, the backbone itself when None. ``reader`` reads user turns
    by meaning; None leaves them to patterns of words. ``seeds`` holds ``environment``, ``model`` and ``selector``.
    ``arm`` is the selector's name in tables, ``cadence`` when it selects, as the settings say when None.
    """

    id: str
    key: EpisodeKey
    environment: Callable[[], Environment]
    model: ChatModel
    selector: AnySelector
    arm: str
    budget: Budget
    seeds: Mapping[str, int]
    helpers: Mapping[str, Helper] = field(default_factory=dict)
    helper_model: ChatModel | None = None
    reader: Reader | None = None
    demonstrations: Sequence[Sequence[Message]] = ()
    benchmark_version: str | None = None
    prompt_hashes: Mapping[str, str] = field(default_factory=dict)
    config_hash: str | None = None
    commit: str | None = None
    cadence: Cadence | None = None
