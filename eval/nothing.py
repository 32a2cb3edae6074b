"""The do-nothing score of a benchmark: what its judge gives an agent that never acts."""

from collections.abc import Sequence

import numpy as np

from eval.stats.bootstrap import Estimate
from eval.stats.proportions import clustered_proportion
from fama.agents.settings import ExperimentSettings
from fama.envs.base import Benchmark
from fama.randomness import derive_seed


async def do_nothing(settings: ExperimentSettings, benchmark: Benchmark, tasks: Sequence[str]) -> Estimate:
    """Start every task with the seed of its first trial, and ask for the outcome at once.

    Raises:
        BoundaryError: the benchmark or its user simulator failed.
    """
    solved = []
    for task in tasks:
        environment = benchmark.environment(settings.domain, task)
        place = (settings.benchmark, settings.domain, task, 0)
        await environment.reset(derive_seed(settings.seed, "environment", *place))
        solved.append(float(environment.outcome().success))
    return clustered_proportion(np.array(solved), len(solved))
