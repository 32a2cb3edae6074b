"""What all tests share: steady property tests, and SYNTHETIC outcome tables."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


@pytest.fixture(scope="session")
def synthetic_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a SYNTHETIC outcome table of so many tasks."""
    from fama.episodes.outcome_table import write_outcomes
    from training.synthetic import make_tasks, outcome_rows

    def write(tasks: int) -> Path:
        path = tmp_path_factory.mktemp("synthetic") / "outcomes.parquet"
        write_outcomes(path, outcome_rows(make_tasks(tasks)), {"synthetic": True})
        return path

    return write
