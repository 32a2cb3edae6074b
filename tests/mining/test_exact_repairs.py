"""The stored repair asks those whose notes repair, and nobody who kept silent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fama.episodes.state import VisibleState, state_at
from fama.episodes.store import read_episodes
from fama.helpers.base import HELPERS, HelperReply
from fama.selection.router.turn import featurise_turn
from tests.support.mining_worlds import POOL, Backbone, mined, plain_run, puzzle, puzzles, repair_of
from tests.support.toy_world import alpha, beta
from training.data.repairs import repair_examples


def quiet(factory: Callable[..., Any], speaks: Callable[[VisibleState], bool]) -> Callable[..., Any]:
    """A helper that has something to say only in some states."""

    def build(form: str = "template", **options: Any) -> Any:
        helper = factory(form, **options)

        class Quiet(type(helper)):  # type: ignore[misc]
            async def note(self, state: VisibleState, context: Any) -> HelperReply:
                return await super().note(state, context) if speaks(state) else HelperReply(None)

        helper.__class__ = Quiet
        return helper

    return build


def acted_well(state: VisibleState) -> bool:
    return any("true" in call.function.arguments for m in state.messages for call in m.tool_calls or ())


@pytest.mark.parametrize("continuations", [1, 3])
async def test_helpers_that_kept_silent_are_not_in_the_stored_repair(tmp_path: Path, continuations: int) -> None:
    """Alpha speaks at the start, Beta at the end if the start went well; only the whole pool everywhere shows it."""
    with puzzles({"x": puzzle("A", None, "B", ways=[[0, 2]])}):
        for name, factory, speaks in (
            ("Alpha", alpha, lambda state: state.turn == 0),
            ("Beta", beta, lambda state: state.turn == 2 and acted_well(state)),
        ):
            HELPERS.remove(name)
            HELPERS.add(name, quiet(factory, speaks))
        sampled = {"model": {"temperature": 0.7}} if continuations > 1 else {}
        plain = await plain_run(tmp_path / "plain", **sampled)
        model = Backbone()
        (record,) = (await mined(plain, tmp_path / "out", model, continuations=continuations)).records
        episodes = {one.id: one for folder in (plain, tmp_path / "out") for one in read_episodes(folder)}
    assert sorted(repair_of(record)) == [(0, "Alpha"), (2, "Beta")]
    assert record.calls == model.asked
    assert record.proven is (True if continuations == 1 else None)
    repaired = episodes[record.repaired_episode or ""]
    assert [decision.subset for decision in repaired.decisions] == [("Alpha",), (), ("Beta",)]
    rows = repair_examples([record], episodes, POOL, balance=None).examples
    start = featurise_turn(state_at(episodes[record.episode_id], 0), POOL)
    solved = {(row.subset, row.repairing) for row in rows if row.features == start and row.success}
    assert solved == {((True, False), (True, False))}
