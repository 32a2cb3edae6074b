"""Rows of a table that a comparison uses: its own backbone's, and those of its tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fama.episodes.outcome_table import OutcomeRow, read_outcomes, write_outcomes
from fama.errors import BadInput
from tests.support.comparisons import live, table
from tests.support.toy_world import toy_world


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    with toy_world():
        yield


def unsolved(rows: list[OutcomeRow]) -> list[OutcomeRow]:
    """The same cells by another backbone, which solves none."""
    lost = {"backbone": "small", "success": False, "status": "failure"}
    return [row.model_copy(update=lost) for row in rows]


async def test_a_subset_grid_of_another_backbone_is_refused(tmp_path: Path) -> None:
    own = await table(tmp_path / "own")
    other = tmp_path / "other.parquet"
    write_outcomes(other, unsolved(read_outcomes(own)), {})
    for changes in ({}, {"replay": str(own)}):
        with pytest.raises(BadInput, match="holds episodes of small, the comparison is of toy; name a table of it"):
            await live(tmp_path / "out", lattice=str(other), **changes)
    assert not (tmp_path / "out").exists()


async def test_of_a_subset_grid_of_two_backbones_the_own_one_counts(tmp_path: Path) -> None:
    own = await table(tmp_path / "own")
    both = tmp_path / "both.parquet"
    write_outcomes(both, [*read_outcomes(own), *unsolved(read_outcomes(own))], {})
    alone, pooled = [await live(tmp_path / path.stem, lattice=str(path)) for path in (own, both)]
    assert alone.lattice is not None and pooled.lattice is not None
    assert pooled.lattice.oracle == alone.lattice.oracle and pooled.lattice.oracle.value == 1.0
    assert [arm.selection for arm in pooled.arms] == [arm.selection for arm in alone.arms]


async def test_a_subset_grid_of_other_tasks_or_another_strategy_is_refused(tmp_path: Path) -> None:
    train = await table(tmp_path / "train", split="train")
    with pytest.raises(BadInput, match="no finished episode of the compared tasks; leave lattice out"):
        await live(tmp_path / "out", lattice=str(train))
    with pytest.raises(BadInput, match="no episode of toy d react"):
        await live(tmp_path / "out", lattice=str(train), strategy="react")
    assert not (tmp_path / "out").exists()
