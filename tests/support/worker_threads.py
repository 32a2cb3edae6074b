"""Workers that are threads with a host each: everything is pickled as on the way to Ray's, and no Ray is needed."""

import asyncio
import pickle
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import fama
from fama.execution.host import Host
from fama.execution.jobs import WorkerLost

#: Takes the place of ``ray_tasks``: a recipe, and how many jobs at once.
Executor = Callable[[Any, int], AbstractContextManager[Callable[[Any], Awaitable[Any]]]]


def worker_threads(is_lost: Callable[[Any], bool]) -> Executor:
    """An executor whose workers die of the jobs that are lost."""

    @contextmanager
    def threads(recipe: Any, at_once: int) -> Iterator[Callable[[Any], Awaitable[Any]]]:
        packed = pickle.dumps(recipe)

        def do(job: bytes) -> bytes:
            host = Host()
            found = host.do("jobs", fama.__version__, pickle.loads(packed), pickle.loads(job))  # noqa: S301
            host.close()
            return pickle.dumps(found)

        async def run(job: Any) -> Any:
            if is_lost(job):
                raise WorkerLost("its worker died")
            return pickle.loads(await asyncio.to_thread(do, pickle.dumps(job)))  # noqa: S301

        yield run

    return threads
