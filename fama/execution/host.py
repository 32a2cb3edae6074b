"""The worker's side of a distributed run: what one process keeps open from job to job."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache
from typing import Any, TypeVar

import fama
from fama.errors import FamaError
from fama.execution.jobs import Recipe

J = TypeVar("J")
R = TypeVar("R")


def other_code(what: str) -> FamaError:
    """Return the error of a worker that would not do what the asking process would."""
    return FamaError(
        f"a Ray worker has another {what} than the command that asks it; install the same checkout on every node, "
        "or submit it as the job's working directory"
    )


class Host:
    """An event loop, and the recipe whose connections live on it; another recipe closes them."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._key: str | None = None
        self._run: Callable[[Any], Awaitable[Any]] | None = None

    def do(self, key: str, version: str, recipe: Recipe[J, R], job: J) -> R:
        """Do one job; ``key`` names the recipe's run, ``version`` is the asking process' package.

        Raises:
            FamaError: this process has another version.
        """
        if version != fama.__version__:
            raise other_code(f"version ({fama.__version__}, not {version})")
        return self._runner.run(self._do(key, recipe, job))

    def close(self) -> None:
        """Close the connections and the loop."""
        self._runner.run(self._leave())
        self._runner.close()

    async def _do(self, key: str, recipe: Recipe[J, R], job: J) -> R:
        run: Callable[[J], Awaitable[R]] | None = self._run if key == self._key else None
        if run is None:
            await self._leave()
            run = await self._stack.enter_async_context(recipe.opened())
            self._key, self._run = key, run
        return await run(job)

    async def _leave(self) -> None:
        self._key = self._run = None
        await self._stack.aclose()


@cache
def host() -> Host:
    """Return the one host of this process."""
    return Host()
