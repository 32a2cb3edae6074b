"""The registry of router kinds that can be trained, and the declarations that settings are checked against."""

from collections.abc import Callable
from typing import Protocol

from fama.registry import Registry
from fama.settings import Settings


class DeclaresTraining(Protocol):
    """The declarations of a router kind about its training."""

    @property
    def losses(self) -> frozenset[str]:
        """Return the losses that it learns from; ``tokens`` aside, which any kind may ignore."""
        ...

    @property
    def resumable(self) -> bool:
        """Return an interrupted training goes on with ``--ckpt``."""
        ...

    @property
    def warm_start(self) -> bool:
        """Return a training can start from a checkpoint with ``--init``."""
        ...

    @property
    def options(self) -> type[Settings] | None:
        """Return the model of its ``options`` in the settings; None where it has none."""
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
