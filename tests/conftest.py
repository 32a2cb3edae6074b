"""Shared set-up of all tests: steady property tests, and SYNTHETIC outcome tables."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from fama.registry import Registry
from tests.support.fake_endpoint import Endpoint

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their number: the two workers must find the same names, and what is packed says when."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Let the collector pass over what imports made, and look less often: else it takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 25, 25)


@pytest.fixture(scope="module", autouse=True)
def what_tests_register() -> Iterator[None]:
    """Forget at the end of a module what its tests added to registries: others list what is there."""
    added: list[tuple[Registry[Any], str]] = []
    add = Registry.add

    def remembered(self: Registry[Any], name: str, value: Any) -> None:
        add(self, name, value)
        added.append((self, name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "add", remembered)
        yield
    for registry, name in added:
        registry.remove(name)


@pytest.fixture(scope="session")
def synthetic_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a SYNTHETIC outcome table of so many tasks."""
    from fama.episodes.outcome_table import write_outcomes
    from training.data.synthetic import make_tasks, outcome_rows

    def write(tasks: int) -> Path:
        path = tmp_path_factory.mktemp("synthetic") / "outcomes.parquet"
        write_outcomes(path, outcome_rows(make_tasks(tasks)), {"synthetic": True})
        return path

    return write


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """An OpenAI-compatible server on loopback that answers as the test wants."""
    one = Endpoint()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def lamps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy benchmark of the agents' tests, registered for the length of a test; nothing in it is broken."""
    from fama.envs.base import BENCHMARKS
    from tests.support.toy_agents import Lamps

    BENCHMARKS.add("lamps", Lamps)
    monkeypatch.setattr(Lamps, "broken", frozenset())
    yield
    BENCHMARKS.remove("lamps")
