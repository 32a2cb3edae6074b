"""An event loop in a thread of its own, for callers with and without one."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from fama.errors import FamaError

T = TypeVar("T")
#: Seconds that closing waits for what is under way.
_PATIENCE = 10.0


class LoopThread:
    """Runs coroutines of any thread in one; ``stack`` holds what is to be closed with it, such as a model's server."""

    def __init__(self, name: str) -> None:
        self.stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._closing = False
        self._process = os.getpid()
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin a coroutine; cancelling the future cancels it.

        Raises:
            FamaError: the thread is closed, or this is a process that was forked from the thread's.
        """
        try:
            self.check_open()
        except FamaError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def check_open(self) -> None:
        """Refuse work where none can be done.

        Raises:
            FamaError: the thread is closed, or this is a process that was forked from the thread's.
        """
        if self._is_elsewhere():
            raise FamaError(f"{self._thread.name} belongs to another process; make one in each")
        if self._closing:
            raise FamaError(f"{self._thread.name} is closed; make a new one")

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for its result; an interruption of the caller cancels it.

        Raises:
            FamaError: the thread is closed.
        """
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is under way, close what the stack holds and end the thread; a second call does nothing."""
        if self._closing or self._is_elsewhere():
            return
        self._closing = True
        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._end()))
        if threading.current_thread() is not self._thread:  # else its owner was forgotten inside it
            self._thread.join(_PATIENCE)

    def _is_elsewhere(self) -> bool:
        return os.getpid() != self._process

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _end(self) -> None:
        try:
            waiting = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            await self.stack.aclose()
        finally:
            self._loop.stop()


def is_cancelled() -> bool:
    """Return whether the running task was cancelled itself, and not only something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
