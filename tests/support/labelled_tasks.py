"""SYNTHETIC labelled failures: what a task needs is what broke, and its conversation tells of it."""

from collections.abc import Sequence

from fama.diagnosis.taxonomy import load_taxonomy
from fama.helpers.pool import build_pool
from fama.selection.router.features import featurise
from fama.settings import HelperSettings
from fama.subsets import POOL
from training.data.examples import Example, ExampleSet
from training.data.synthetic import SyntheticTask

CATEGORY = {"rule": "DCV", "look": "WRCO", "memory": "CM", "plan": "IFU"}


def labelled(tasks: Sequence[SyntheticTask], backbone: str = "synthetic") -> ExampleSet:
    """One failure per task that needs something; its categories are its needs."""
    covers = {name: helper.covers for name, helper in build_pool(HelperSettings()).items()}
    found = []
    for task in tasks:
        wanted = {CATEGORY[need] for need in task.needs}
        if wanted:
            found.append(
                Example(
                    task=task.task_id,
                    features=featurise(task.state),
                    coverage=tuple(bool(wanted & covered) for covered in covers.values()),
                    categories=tuple(code in wanted for code in load_taxonomy().codes),
                    domain="synthetic",
                    backbone=backbone,
                )
            )
    return ExampleSet(tuple(found), POOL, synthetic=True)
