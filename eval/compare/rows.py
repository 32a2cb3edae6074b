"""Rows of an outcome table that belong to a comparison, for replay and for the subset grid."""

from collections.abc import Sequence

from eval.metrics.selection_quality import ExecutedSubset
from fama.episodes.outcome_table import OutcomeRow
from fama.errors import BadInput
from fama.settings import CompareSettings, domains_of
from fama.subsets import members_of


def comparable_rows(
    rows: Sequence[OutcomeRow], settings: CompareSettings, path: str, backbone: str | None = None
) -> list[OutcomeRow]:
    """Return the rows of the comparison's benchmark, domain and strategy, of one backbone.

    ``backbone`` None takes that of the settings, or the only one of the table.

    Raises:
        BadInput: no such row, or several backbones of which none is that of the settings.
    """
    kept = [
        row
        for row in rows
        if (row.benchmark, row.strategy) == (settings.benchmark, settings.strategy)
        and row.domain in domains_of(settings.domain)
    ]
    if not kept:
        has = sorted({f"{row.benchmark} {row.domain} {row.strategy}" for row in rows})
        raise BadInput(
            f"{path}: no episode of {settings.benchmark} {settings.domain} {settings.strategy}; it has {has}"
        )
    backbones = sorted({row.backbone for row in kept})
    if backbone is None:
        backbone = settings.model.name if settings.model.name in backbones else backbones[0]
        if backbone != settings.model.name and len(backbones) > 1:
            raise BadInput(f"{path}: holds {', '.join(backbones)}; set model.name to one of them")
    elif backbone not in backbones:
        raise BadInput(
            f"{path}: holds episodes of {', '.join(backbones)}, the comparison is of {backbone}; name a table of it"
        )
    return [row for row in kept if row.backbone == backbone]


def cells_of(rows: Sequence[OutcomeRow]) -> list[ExecutedSubset]:
    """Return the executed subsets of the rows; errors have none."""
    return [
        ExecutedSubset(row.key, members_of(row.subset), float(row.success), float(row.tokens))
        for row in rows
        if row.success is not None
    ]
