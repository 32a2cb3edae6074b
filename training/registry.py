"""The registry of router kinds that can be trained, and the declarations that settings are checked against."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from fama.registry import Registry
from fama.settings import Settings

#: Groups of settings that only some kinds read.
GROUPS = ("encoder", "network", "optimiser", "vectors", "linear", "knn", "boosting", "prior")
#: Data that a training may name, and the losses that learn from it; ``tokens`` goes with those of outcomes.
SOURCES = {
    "outcomes": ("outcome", "decision"),
    "plain": ("outcome", "decision"),
    "repairs": ("outcome", "decision"),
    "failures": ("coverage", "categories"),
    "prompted": ("distillation",),
}
#: Settings of data that say how one source is read.
OF_SOURCES = {"repairs": ("balance",), "failures": ("labels", "unexplained", "user_faults", "confidence")}


class DeclaresTraining(Protocol):
    """The declarations of a router kind about its training."""

    @property
    def losses(self) -> frozenset[str]:
        """Return the losses that it learns from; ``tokens`` aside, which any kind may ignore."""
        ...

    @property
    def resumable(self) -> bool:
        """Return whether an interrupted training goes on with ``--ckpt``."""
        ...

    @property
    def warm_start(self) -> bool:
        """Return whether a training can start from a checkpoint with ``--init``."""
        ...

    @property
    def options(self) -> type[Settings] | None:
        """Return the model of its ``options`` in the settings; None where it has none."""
        ...

    @property
    def groups(self) -> frozenset[str] | None:
        """Return the groups of settings that it reads, of ``GROUPS``; None where that is not declared."""
        ...


ROUTER_TRAINERS: Registry[Callable[[], DeclaresTraining]] = Registry(
    "router_trainers",
    {
        "encoder": "training.kinds.encoder:EncoderTrainer",
        "linear": "training.kinds.linear:LinearTrainer",
        "knn": "training.kinds.knn:KnnTrainer",
        "boosting": "training.kinds.boosting:BoostingTrainer",
        "prior": "training.kinds.prior:PriorTrainer",
        "one_vs_rest": "training.kinds.one_vs_rest:OneVsRestTrainer",
        "setfit": "training.kinds.setfit:SetfitTrainer",
    },
)


def unread_data(data: Settings, losses: Settings) -> Iterator[str]:
    """Yield a line for each source whose losses are 0, and for each changed setting of a source that is not named."""
    for source, names in OF_SOURCES.items():
        for name in () if getattr(data, source) else data.changed(*names):
            yield f"data.{name}: is of data.{source}, none are named"
    for source, weights in SOURCES.items():
        if getattr(data, source) and not any(getattr(losses, one) for one in weights):
            yield f"data.{source}: the losses that learn from it ({', '.join(weights)}) are 0"


def unread_groups(kind: str, changed: Iterable[str], embedded: bool) -> Iterator[str]:
    """Yield a line for each changed group that a kind does not read; ``embedded``: it reads vectors of an encoder."""
    read: frozenset[str] | None = getattr(ROUTER_TRAINERS.load(kind)(), "groups", None)
    if read is None:
        return
    for group in changed:
        if group not in read and not (group == "encoder" and "vectors" in read and embedded):
            yield f"{group}: a router of kind {kind} does not read it"
