import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

import fama
from fama.errors import FamaError
from fama.execution.host import Host
from fama.execution.ray_tasks import cpu_share

LOG: list[str] = []


@dataclass(frozen=True)
class Adder:
    more: int

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        LOG.append(f"open {self.more}")
        loop = asyncio.get_running_loop()

        async def run(job: int) -> int:
            assert asyncio.get_running_loop() is loop  # connections live on it
            return job + self.more

        yield run
        LOG.append(f"close {self.more}")


def test_a_recipe_is_opened_once_and_closed_by_the_next() -> None:
    LOG.clear()
    host = Host()
    assert [host.do("a", fama.__version__, Adder(1), job) for job in (1, 2, 3)] == [2, 3, 4]
    assert host.do("b", fama.__version__, Adder(5), 1) == 6
    assert LOG == ["open 1", "close 1", "open 5"]
    host.close()
    assert LOG[-1] == "close 5"


def test_a_worker_with_another_version_refuses() -> None:
    with pytest.raises(FamaError, match="another version"):
        Host().do("a", "0.0.0", Adder(1), 1)


@pytest.mark.parametrize(
    ("cpus", "at_once", "expected"),
    [([2.0], 2, 0.666), ([2.0], 1, 1.0), ([16.0, 16.0], 4, 1.0), ([1.0, 1.0], 4, 0.333), ([4.0], 5000, 0.001)],
)
def test_so_many_tasks_fit_at_once(cpus: list[float], at_once: int, expected: float) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": count}} for count in cpus]
    nodes += [{"Alive": False, "Resources": {"CPU": 64.0}}, {"Alive": True, "Resources": {}}]
    share = cpu_share(nodes, at_once)
    assert share == expected
    if share > 0.001:
        assert sum(count // share for count in cpus) >= at_once
