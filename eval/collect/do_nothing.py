"""The do-nothing score of a benchmark: what its judge gives an agent that never acts."""

from collections.abc import Sequence

import numpy as np

from eval.stats.proportions import clustered_proportion
from fama.envs.acebench.user import FINISH
from fama.envs.base import Action, Benchmark, UserModel
from fama.envs.mixed import MixedDomains
from fama.envs.tau_bench.user import STOP
from fama.episodes.records import LedgerRow
from fama.errors import BoundaryError
from fama.intervals import Interval
from fama.models.base import ChatReply, ChatRequest
from fama.randomness import derive_seed
from fama.settings import ExperimentSettings

_TURNS = 3
"""Sentences after which a user that wants to leave has left in every benchmark."""


class _LeavingUser:
    """A scripted user that ends the conversation in whatever words its benchmark listens for; no model."""

    name = "scripted:leaving-user"

    async def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply(text=f"{STOP} {FINISH}", usage=LedgerRow(role=request.role, model=self.name))


async def do_nothing(
    settings: ExperimentSettings, benchmark: Benchmark, tasks: Sequence[str]
) -> tuple[Interval, str | None]:
    """Start every task with the seed of its first trial, and ask for the outcome at once.

    Where a model plays the user, nobody asks it: a scripted one leaves at the agent's first words, since some
    benchmarks judge a conversation only when somebody has ended it. Also says, in words, which tasks are not in the
    score since the benchmark failed on them.
    """
    solved, faults = [], []
    for task in tasks:
        try:
            solved.append(await _idle(settings, benchmark, task))
        except BoundaryError as error:
            faults.append(" ".join(str(error).split()))
    left_out = f"The do-nothing score is without {len(faults)} of {len(tasks)} tasks: {faults[0]}." if faults else None
    return clustered_proportion(np.array(solved), len(solved)), left_out


async def _idle(settings: ExperimentSettings, benchmark: Benchmark, task: str) -> float:
    user = UserModel(_LeavingUser()) if settings.user_model is not None else None
    domain = MixedDomains(benchmark).domain_of(settings.domain, task)
    environment = benchmark.environment(domain, task, user)
    place = (settings.benchmark, domain, task, 0)
    over = (await environment.reset(derive_seed(settings.seed, "environment", *place))).done
    for _ in range(_TURNS if user else 0):
        over = over or (await environment.step(Action(tool=None, text="Goodbye."))).done
    return float(environment.outcome().success)
