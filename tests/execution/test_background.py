"""An event loop in a thread: results, interruptions and its end."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fama.errors import FamaError
from fama.execution.background import LoopThread


async def name() -> str:
    return threading.current_thread().name


def test_work_runs_in_the_thread_and_its_errors_come_back() -> None:
    thread = LoopThread("a worker")

    async def fail() -> None:
        raise ZeroDivisionError

    assert thread.wait(name()) == "a worker"
    with pytest.raises(ZeroDivisionError):
        thread.wait(fail())
    thread.close()


def test_closing_cancels_what_is_under_way_and_closes_what_was_opened() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def server() -> AsyncIterator[None]:
        told.append("opened")
        yield
        told.append("closed")

    async def wait() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            told.append("cancelled")

    thread = LoopThread("a worker")
    thread.wait(thread.stack.enter_async_context(server()))
    begun = thread.submit(wait())
    thread.close()
    thread.close()
    assert told == ["opened", "cancelled", "closed"] and begun.cancelled()
    with pytest.raises(FamaError, match="a worker is closed"):
        thread.wait(name())


def test_a_thread_may_be_closed_from_inside() -> None:
    thread = LoopThread("a worker that ends itself")

    async def end() -> None:
        thread.close()

    thread.wait(end())
    for other in threading.enumerate():
        if other.name == "a worker that ends itself":
            other.join(5)
            assert not other.is_alive()
    with pytest.raises(FamaError, match="closed"):
        thread.wait(end())
