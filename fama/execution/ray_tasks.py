"""Jobs as Ray tasks: spread over the workers of a machine or a cluster, run again when a worker dies."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar
from uuid import uuid4

import fama
from fama.errors import BadInput, FamaError
from fama.execution.host import host
from fama.execution.jobs import Recipe, WorkerLost
from fama.redaction import shortened

J = TypeVar("J")
R = TypeVar("R")

#: How often Ray starts a job again whose worker died.
RETRIES = 3
#: Environment variable with a cluster's address; unset, Ray is started on this machine for the length of the run.
ADDRESS = "RAY_ADDRESS"
LOCAL = "local"


def check_ray() -> None:
    """Complain when Ray is missing.

    Raises:
        BadInput: it is not installed.
    """
    if find_spec("ray") is None:
        raise BadInput("executor: ray is not installed; pip install 'fama-router[ray]', or leave executor at local")


@contextmanager
def ray_tasks(recipe: Recipe[J, R], at_once: int) -> Iterator[Callable[[J], Awaitable[R]]]:
    """Yield a function that does one job as a Ray task, for the length of the block.

    A cluster that this process is connected to is used, else the one that ``RAY_ADDRESS`` names, else Ray is
    started on this machine, on loopback only, without dashboard and usage reports. A task takes so small a share of
    a CPU that ``at_once`` tasks fit at the same time: jobs wait for their model most of the time.

    Raises:
        BadInput: Ray is not installed.
        FamaError: the cluster does not answer.
    """
    check_ray()
    ray = _import()
    ours = not ray.is_initialized()
    if ours:
        _start(ray)
    try:
        shared = ray.put(recipe)
        key = uuid4().hex
        task = ray.remote(_do).options(num_cpus=cpu_share(ray.nodes(), at_once), max_retries=RETRIES)

        async def run(job: J) -> R:
            reference = task.remote(key, fama.__version__, shared, job)
            try:
                result: R = await reference
            except asyncio.CancelledError:
                ray.cancel(reference, force=True)
                raise
            except ray.exceptions.RayTaskError as error:  # raised by the job itself
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise WorkerLost(f"its Ray worker died {RETRIES + 1} times ({type(error).__name__})") from error
            return result

        yield run
    finally:
        if ours:
            ray.shutdown()


def cpu_share(nodes: list[dict[str, Any]], at_once: int) -> float:
    """Return the CPUs a task may claim so that ``at_once`` tasks fit on the living nodes together; at most 1.

    A node's CPUs are split into whole shares, so each node may waste less than one share: the divisor counts it.
    """
    cpus = [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]
    cpus = [count for count in cpus if count > 0]
    return max(0.001, int(1000 * min(1.0, sum(cpus) / (at_once + len(cpus)))) / 1000) if cpus else 1.0


def _do(key: str, version: str, recipe: Recipe[J, R], job: J) -> R:
    """Do one job in a worker's process, which keeps what the recipe opened for its next job."""
    return host().do(key, version, recipe, job)


def _import() -> Any:
    if (os.environ.get(ADDRESS) or LOCAL) == LOCAL:
        # Ray asks this when it is imported: without the leave to build clusters it keeps to loopback on any system.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return import_module("ray")


def _start(ray: Any) -> None:
    address = os.environ.get(ADDRESS) or LOCAL
    quiet = {"configure_logging": False, "log_to_driver": False}
    own = {"include_dashboard": False} if address == LOCAL else {}
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        ray.init(address=address, **quiet, **own)
    except Exception as error:  # Ray raises what it likes here, plain Exception included
        why = shortened(error, 300)
        raise FamaError(
            f"{ADDRESS}={address}: Ray does not start or answer ({why}); its logs are in /tmp/ray"
        ) from error
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray puts its own in place, which loses what is under way
