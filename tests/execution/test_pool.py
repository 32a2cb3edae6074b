import asyncio
from collections.abc import Iterator

import pytest

from fama.errors import FamaError
from fama.execution.jobs import run_pool


async def _double(job: int) -> int:
    await asyncio.sleep(0.001 * (job % 3))
    return 2 * job


async def test_every_job_is_done_once_and_handed_on() -> None:
    done: dict[int, int] = {}
    await run_pool(range(20), _double, done.__setitem__, 4)
    assert done == {job: 2 * job for job in range(20)}


@pytest.mark.parametrize("at_once", [0, 1])
async def test_one_at_a_time_keeps_the_order(at_once: int) -> None:
    done: list[int] = []
    await run_pool(range(6), _double, lambda job, _: done.append(job), at_once)
    assert done == list(range(6))


async def test_no_more_than_so_many_are_taken_before_one_is_done() -> None:
    taken, finished, most = 0, 0, 0

    def jobs() -> Iterator[int]:
        nonlocal taken, most
        for job in range(30):
            taken += 1
            most = max(most, taken - finished)
            yield job

    def finish(job: int, result: int) -> None:
        nonlocal finished
        finished += 1

    await run_pool(jobs(), _double, finish, 3)
    assert (taken, most) == (30, 3)


async def test_an_exception_stops_the_others_and_what_was_finished_stays() -> None:
    done: list[int] = []

    async def run(job: int) -> int:
        if job == 3:
            raise FamaError("no more")
        if job > 3:
            await asyncio.sleep(60)
        return job

    with pytest.raises(FamaError, match="no more"):
        await run_pool(range(99), run, lambda job, _: done.append(job), 2)
    assert done == [0, 1, 2]
