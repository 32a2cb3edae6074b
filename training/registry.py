"""The registry of router kinds that can be trained, and the declarations that settings are checked against."""

from typing import Protocol

from fama.registry import Registry
from fama.settings import Settings


class DeclaresTraining(Protocol):
    """The declarations of a router kind about its training.

    ``losses`` are the loss weights that it learns from (``tokens`` aside, which any kind may ignore). ``resumable``: an
    interrupted training goes on with ``--ckpt``. ``warm_start``: it can start from a checkpoint with ``--init``.
    ``options`` is the model of its ``options`` in the settings; None for a kind that has none.
    """

    losses: frozenset[str]
    resumable: bool
    warm_start: bool
    options: type[Settings] | None


ROUTER_TRAINERS: Registry[type[DeclaresTraining]] = Registry(
    "router_trainers",
    {
        "encoder": "training.kinds.encoder:EncoderTrainer",
        "linear": "training.kinds.linear:LinearTrainer",
        "knn": "training.kinds.knn:KnnTrainer",
        "boosting": "training.kinds.boosting:BoostingTrainer",
        "prior": "training.kinds.prior:PriorTrainer",
    },
)
