"""Every registered selector, built from small inputs: a table, labels, a scripted model, a router of each kind."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fama.episodes.outcome_table import OutcomeRow, write_outcomes
from fama.episodes.records import Failure
from fama.episodes.store import write_failures
from fama.helpers.pool import build_pool, declared_pool
from fama.models.scripted import ScriptedModel
from fama.selection.base import SELECTORS, AnySelector, SelectorContext
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.settings import HelperSettings
from fama.subsets import POOL, is_admissible, join_subset, split_subset
from tests.support.asking import KEY

HELPERS = build_pool(HelperSettings())
#: options of selectors that cannot be built without, and further forms of one selector, by name
FORMS: dict[str, list[dict[str, Any]]] = {
    "fixed": [{"subset": ["Memory", "TSA"]}],
    "random": [{}, {"mean_size": 2}, {"size": 3}],
    "prompted": [{"form": "one_call"}, {"form": "diagnosis"}, {"form": "static"}],
}
CASES = [(name, place) for name in SELECTORS.names() for place in range(len(FORMS.get(name, [{}])))]


class Inputs:
    """Files and models that selectors are built from, made when asked for.

    ``names`` puts other helpers in the place of the paper's six; a table's rows whose names then exclude each other are
    left out. ``answer`` is what a model proposes, ``rows`` are the subsets of the outcome table.
    """

    def __init__(
        self,
        folder: Path,
        names: dict[str, str] | None = None,
        answer: str = '{"helpers": ["TSA"]}',
        rows: tuple[str, ...] = ("TSA", "DCE+TSA"),
    ) -> None:
        self.folder = folder
        self.names = names or {}
        self.pool = tuple(self.names.get(name, name) for name in POOL)
        self.helpers = declared_pool(self.pool) if names else HELPERS
        self.answer = answer
        self.rows = rows
        self.router: Callable[[str], str] = cache(self._router)

    @property
    def outcomes(self) -> str:
        """An outcome table of the task of ``KEY``."""
        path = self.folder / "outcomes.parquet"
        if not path.exists():
            base: dict[str, Any] = {
                **dict.fromkeys(("tokens_agent", "tokens_helper", "tokens_selector", "tokens_cached"), 1),
                **dict.fromkeys(("prompts_hash", "state", "benchmark_version"), "1"),
                **dict(benchmark=KEY.benchmark, domain=KEY.domain, task_id=KEY.task_id, trial=0, backbone=KEY.backbone),
                **dict(strategy=KEY.strategy, propensity=0.5, status="success", success=True, reward=1.0, tokens=3),
                **dict(output_tokens=1, decisions=1, seconds=1.0, pool="+".join(self.pool)),
            }
            rows = [OutcomeRow(episode_id=subset, subset=subset, **base) for subset in self.rows]
            write_outcomes(path, rows, {})
        return str(path)

    @property
    def failures(self) -> str:
        """Labels of other tasks."""
        path = self.folder / "failures.jsonl"
        if not path.exists():
            write_failures(path, [label(f"o{i}", "CM") for i in range(4)])
        return str(path)

    def _router(self, selector: str) -> str:
        from tests.support.tiny_encoder import write_tiny_encoder
        from training.data.examples import outcome_examples
        from training.data.synthetic import make_tasks, outcome_rows
        from training.settings import TrainSettings
        from training.train import train_on

        kind = next(kind for kind in ROUTER_KINDS.names() if ROUTER_KINDS.load(kind).selector == selector)
        tree = {
            "kind": kind,
            "vectors": {"source": "hashed", "buckets": 256, "components": 8},
            "linear": {"strengths": [0.1], "folds": 2},
            "knn": {"neighbours": [10], "strengths": [2.0], "folds": 2},
            "boosting": {"rounds": [10], "folds": 2},
            "prior": {"folds": 2},
            "encoder": {"name": str(write_tiny_encoder(self.folder / "encoder")), "window": 32, "lora": None},
            "trainer": {"wandb": "disabled", "progress": False, "accelerator": "cpu", "devices": 1},
            "optimiser": {"epochs": 1, "batch": 32},
            "options": {"setfit": {"steps": 0}, "one_vs_rest": {"strengths": [10.0], "folds": 2}}.get(kind, {}),
        }
        made = [self._renamed(row) for row in outcome_rows(make_tasks(30))]
        data = outcome_examples([row for row in made if is_admissible(split_subset(row.subset), self.pool)], self.pool)
        tree["data"] = {"pool": list(self.pool)}
        assert train_on(TrainSettings.model_validate(tree), data, self.folder / selector) is not None
        return str(self.folder / selector)

    def _renamed(self, row: OutcomeRow) -> OutcomeRow:
        subset = tuple(self.names.get(name, name) for name in split_subset(row.subset))
        return row.model_copy(update={"subset": join_subset(subset), "pool": join_subset(self.pool)})

    def build(self, name: str, place: int = 0) -> AnySelector:
        """The selector of a name, in the form at a place of ``FORMS``."""
        options = dict(FORMS.get(name, [{}])[place])
        if SELECTORS.traits(name).setup == "checkpoint":
            options["checkpoint"] = self.router(name)
        if options.get("form") == "static":
            options["failures"] = self.failures
        own = {KEY.task_id: label(KEY.task_id, "IFU")} if options.get("form") == "diagnosis" else None
        model = ScriptedModel("scripted:judge", lambda _: self.answer)
        return SELECTORS.load(name)(SelectorContext(self.helpers, model, own, self.outcomes), **options)


def label(task: str, *primary: str) -> Failure:
    """A labelled failure."""
    return Failure(episode_id=f"e-{task}", task_id=task, primary=primary, labeller="x", taxonomy_version="1")
