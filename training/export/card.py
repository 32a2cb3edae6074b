"""The model card of a checkpoint: data, metrics with intervals, limits, and the command that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fama.helpers.pool import told_forms
from fama.intervals import Interval
from fama.selection.router.checkpoint_files import FIGURE
from fama.selection.router.kinds.base import ROUTER_KINDS
from fama.selection.router.manifest import RouterManifest
from training.data.examples import Example, ExampleSet
from training.data.splits import Split
from training.export.collapse import collapse
from training.export.evaluation import RouterEvaluation
from training.export.label_metrics import LabelMeasured
from training.settings import TrainSettings

_TURN = (
    "Per turn: it was trained on states before single decisions, with the success and the cost of the rest of the "
    "episode; it is asked before every decision (cadence: turn)."
)
_VIEWS = {
    "prospective": "Prospective: it reads policy, tools and messages up to the decision, not beyond.",
    "retrospective": "Retrospective: it reads the plain agent's whole failed episode of the task that is run again.",
}


def render_card(
    manifest: RouterManifest,
    settings: TrainSettings,
    data: ExampleSet,
    split: Split,
    measured: RouterEvaluation,
    labelled: LabelMeasured,
    notes: Mapping[str, str],
    apart: RouterEvaluation | None = None,
    labelled_apart: LabelMeasured | None = None,
    drawn: bool = False,
) -> str:
    """Return the Markdown of the card; ``drawn``: the reliability figure lies beside it."""
    title = "Router on SYNTHETIC data" if manifest.synthetic else "Router"
    blind = not settings.knows_success
    kind = ROUTER_KINDS.load(manifest.kind)
    unscored = blind or not kind.predicts_success
    prompts = ", ".join(f"`{value}`" for value in manifest.prompts_hash)
    parts = [
        f"# {title}: {kind.title}",
        _aim(manifest, blind) if kind.predicts_success else _aim_of_classifier(manifest),
        "## Data",
        _table(("", "training", "validation"), _data_rows(split)),
        _lines(
            {
                "benchmarks": ", ".join(manifest.benchmark_version) or "unknown",
                "domains": ", ".join(manifest.domains) or "unknown",
                "backbones": ", ".join(manifest.backbones) or "unknown",
                "left out": _counts(data.left_out),
                "data hash, split hash": f"`{manifest.data_hash}`, `{manifest.split_hash}`",
                **({} if manifest.forms is None else {"helpers": told_forms(manifest.forms)}),
                **({} if blind else {"prompts": prompts or "unknown"}),
            }
        ),
        "## Metrics on the validation tasks",
        *_outcome_metrics(manifest, measured, blind, kind.predicts_success),
        *_label_metrics(manifest, labelled),
        f"![Predicted and observed success]({FIGURE})" if drawn else "",
        _guarantee(manifest),
        _choices(manifest, measured, blind=unscored),
        collapse(measured.chosen, manifest.pool) or "",
        *_transfer(manifest, settings, split, apart, labelled_apart, blind, unscored),
        "## Training",
        _lines({**notes, "losses": _losses(settings), "seed": str(manifest.seed)}),
        f"```\n{manifest.command or '(trained from Python)'}\n```",
        _lines({"commit": manifest.git_commit or "unknown", "versions": _counts(manifest.versions)}),
        _cost(manifest),
        "## Limits",
        _limits(manifest, labelled.rows if blind else measured.rows, blind),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _aim(manifest: RouterManifest, blind: bool) -> str:
    """Return what the router does; ``blind``: it has seen no outcome, so it scores neither success nor tokens."""
    pool, view = ", ".join(manifest.pool), _VIEWS[manifest.view]
    if blind:
        return (
            f"Chooses helper agents before a decision of a tool-use agent, of {pool}: those that address the failure "
            "it expects. It learned from labels of failures or a prompted selector's choices, and from no outcome: it "
            f"knows neither success nor tokens, and λ means nothing to it. {view}"
        )
    turn = " " + _TURN if manifest.cadence == "turn" else ""
    return (
        "Chooses the smallest useful subset of helper agents before a decision of a tool-use agent: it maximises "
        f"P(success) − λ · {manifest.cost_unit.replace('_', ' ')} / 1000 over subsets of {pool}. {view}{turn}"
    )


def _aim_of_classifier(manifest: RouterManifest) -> str:
    """Return what a router does that classifies helpers one by one, and scores neither success nor tokens."""
    turn = " Per turn: it is asked before every decision (cadence: turn)." if manifest.cadence == "turn" else ""
    return (
        "Chooses helper agents before a decision of a tool-use agent: every one of "
        f"{', '.join(manifest.pool)} that is needed with a probability of at least one half. It predicts neither "
        f"success nor tokens, and λ means nothing to it. {_VIEWS[manifest.view]}{turn}"
    )


def _outcome_metrics(manifest: RouterManifest, measured: RouterEvaluation, blind: bool, predicts: bool) -> list[str]:
    if blind:
        return ["Success, tokens and calibration: not measured, since it learned from no outcome."]
    if not predicts:
        return ["Success, tokens and calibration: not measured, since this kind predicts none of them."]
    return [
        f"{measured.rows} rows of {measured.tasks} tasks; 95 % intervals by a bootstrap over tasks. The split also "
        "served early stopping and the temperature, so these numbers are slightly optimistic; claims need test tasks.",
        _metrics(measured.metrics),
        _calibration(manifest),
    ]


def _label_metrics(manifest: RouterManifest, labelled: LabelMeasured) -> list[str]:
    if not labelled.metrics:
        return []
    stopped = "" if manifest.network is None else " The split also served early stopping."
    about = f"{labelled.rows} labelled failures of {labelled.tasks} tasks; shares, with 95 % intervals by a bootstrap "
    return [f"{about}over tasks.{stopped}", _metrics(labelled.metrics)]


def _metrics(values: Mapping[str, Interval]) -> str:
    return _table(("measure", "value", "95 % interval"), [(name, *_cells(found)) for name, found in values.items()])


def _data_rows(split: Split) -> list[tuple[str, ...]]:
    def count(side: tuple[Example, ...], target: str) -> str:
        return str(sum(getattr(example, target) is not None for example in side))

    sides = (split.train, split.validation)
    rows = [("tasks", *(str(len({example.task for example in side})) for side in sides))]
    names = {"success": "rows with an outcome", "coverage": "labelled failures", "distilled": "prompted choices"}
    rows += [(label, *(count(side, target) for side in sides)) for target, label in names.items()]
    for label, side in (("success rate, training", split.train), ("success rate, validation", split.validation)):
        known = [example for example in side if example.success is not None]
        if known:
            rate = sum(one.weight * bool(one.success) for one in known) / sum(one.weight for one in known)
            value = f"{rate:.3f} (n = {len(known)})"
            rows.append((label, value, "") if side is split.train else (label, "", value))
    return [(a, b, c) for a, b, c in rows]


def _calibration(manifest: RouterManifest) -> str:
    found = manifest.calibration
    if found.ece_before is None or found.ece_after is None:
        kept = ", the initial router's" if found.temperature != 1.0 else ""
        return f"Calibration: too few validation rows ({found.rows}); temperature {found.temperature:.2f}{kept}."
    if found.temperature == 1.0:
        return (
            f"Calibration: none; no temperature of one half of the tasks served the other half ({found.rows} rows). "
            f"Expected calibration error (10 bins): {found.ece_before:.3f}."
        )
    if found.ece_after == found.ece_before:
        return (
            f"Calibration: no half of the tasks could tell a temperature ({found.rows} rows); "
            f"{found.temperature:.2f}, the initial router's. Expected calibration error (10 bins) without it: "
            f"{found.ece_before:.3f}."
        )
    return (
        f"Calibration: temperature {found.temperature:.3f}; expected calibration error (10 bins, n = {found.rows}) "
        f"{found.ece_before:.3f} before, {found.ece_after:.3f} after (cross-fitted over two halves of the tasks)."
    )


def _guarantee(manifest: RouterManifest) -> str:
    found = manifest.guarantee
    if found is None:
        return ""
    said = f"with {found.confidence:.0%} confidence not worse than all helpers by more than {found.epsilon}"
    if found.errors:
        said += f", whatever the {found.errors} episodes that ended in an error would have become"
    if found.threshold is None:
        more = "" if found.needed is None else f"; about {found.needed:,} would do if it loses nothing"
        return f"Guarantee (learn then test): too few data for one. {found.tasks} tasks cannot show: {said}{more}."
    return (
        f"Guarantee (learn then test, {found.tasks} tasks of their own): {said}, if all helpers are used wherever the "
        f"choice is predicted to lose more than {found.threshold} (upper bound of the loss {found.bound:.3f})."
    )


def _choices(
    manifest: RouterManifest, measured: RouterEvaluation, where: str = "validation", blind: bool = False
) -> str:
    total = sum(measured.chosen.values())
    rows = [(name, str(count), f"{count / total:.2f}") for name, count in measured.chosen.items()] if total else []
    unit = manifest.cost_unit.replace("_", " ")
    price = "" if blind else f" at λ = {manifest.lam} per 1,000 {unit}"
    text = f"Choices{price}, without a budget, over {total} {where} states, "
    text += "from all subsets" if manifest.candidates is None else f"from {len(manifest.candidates)} executed subsets"
    text += ":\n\n"
    text += _table(("subset", "states", "share"), rows)
    if measured.matched is not None:
        value, interval = _cells(measured.matched)
        text += (
            f"\n\nSuccess of the {measured.matched_rows} {where} rows whose executed subset is the router's choice"
            f"{', weighted by 1 / propensity' if measured.drawn else ''}: {value} {interval}."
        )
    return text


def _transfer(
    manifest: RouterManifest,
    settings: TrainSettings,
    split: Split,
    apart: RouterEvaluation | None,
    labelled: LabelMeasured | None,
    blind: bool,
    unscored: bool,
) -> list[str]:
    if apart is None:
        return []
    names = ", ".join((*settings.data.hold_out_domains, *settings.data.hold_out_backbones))
    tuned = {example.task for example in split.held_out} & {example.task for example in split.validation}
    shared = f", {len(tuned)} of them validation tasks of other backbones" if tuned else ", nor tuned on"
    return [
        f"## Transfer: {names}, held out",
        f"{labelled.rows if labelled and blind else apart.rows} rows of "
        f"{labelled.tasks if labelled and blind else apart.tasks} tasks that were not trained on{shared}; "
        "95 % intervals over tasks.",
        _metrics(apart.metrics | (labelled.metrics if labelled else {})),
        _choices(manifest, apart, "held-out", unscored),
    ]


def _cost(manifest: RouterManifest) -> str:
    if manifest.cost is None:
        return ""
    rows = [
        (part.part, part.source, *("unknown" if v is None else f"{v:,.0f}" for v in (part.tokens, part.seconds)))
        for part in manifest.cost
    ]
    return "Setup cost:\n\n" + _table(("part", "source", "tokens", "seconds"), rows)


def _limits(manifest: RouterManifest, rows: int, blind: bool) -> str:
    """List the limits; ``rows`` are validation rows with an outcome, or with a label where none has an outcome."""
    found = ["Valid for this helper pool, these helper prompts, this backbone and this benchmark version."]
    if blind:
        found = [
            f"Valid for this helper pool, the failure categories {manifest.taxonomy_version}, and logs like these.",
            "A helper that addresses what broke need not help; only outcomes say whether it does, and what it costs.",
        ]
    elif manifest.cadence == "turn":
        found.append(
            "Repairs were executed on the way of the plain agent, or of the arms that were mined; states that its own "
            "choices lead to may lie outside of what it was trained on."
        )
    elif manifest.view == "prospective":
        found.append(
            "Outcomes were logged with one subset held for a whole episode and the state before its first decision; "
            "later states of an episode are outside of what it was trained on."
        )
    if manifest.synthetic:
        found.insert(0, "Trained on SYNTHETIC tasks: for tests and method curves only, of no use on real ones.")
    if rows < 200:
        found.append(f"Only {rows} validation rows: differences between routers are mostly noise.")
    return "\n".join(f"- {line}" for line in found)


def _losses(settings: TrainSettings) -> str:
    names = ("outcome", "decision", "tokens", "coverage", "distillation", "categories")
    used = [f"{name} × {getattr(settings.losses, name)}" for name in names if getattr(settings.losses, name)]
    return ", ".join(used) + (", inverse propensity weights" if settings.losses.inverse_propensity else "")


def _cells(interval: Interval) -> tuple[str, str]:
    value = "–" if interval.value is None else f"{interval.value:.4f}"
    if interval.low is None or interval.high is None:
        return value, "–"
    return value, f"[{interval.low:.4f}, {interval.high:.4f}]"


def _counts(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "nothing"


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""
