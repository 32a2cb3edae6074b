"""Many jobs, a few at a time; what is finished is handed on at once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

from fama.errors import FamaError

J = TypeVar("J")
R = TypeVar("R")
J_contra = TypeVar("J_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class WorkerLost(FamaError):
    """The process that did a job died, again and again; nothing is known about the job."""


class Recipe(Protocol[J_contra, R_co]):
    """A process' input for jobs of one kind. It is pickled, so it holds settings, not connections."""

    def opened(self) -> AbstractAsyncContextManager[Callable[[J_contra], Awaitable[R_co]]]:
        """Connect what the jobs share; yield the function that does one job."""
        ...


async def run_pool(
    jobs: Iterable[J], run: Callable[[J], Awaitable[R]], finish: Callable[[J, R], None], at_once: int
) -> None:
    """Take jobs in their order, ``at_once`` under way, and call ``finish`` in this process as each is done.

    The next job is taken from ``jobs`` only when there is room for it. An exception stops the others.
    """
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            finish(job, await run(job))

    workers = [asyncio.create_task(worker()) for _ in range(max(1, at_once))]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
