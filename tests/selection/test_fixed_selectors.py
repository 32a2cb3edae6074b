from typing import Any

import pytest

from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.pool import build_pool
from fama.selection.base import SELECTORS, Selection, SelectorContext
from fama.settings import HelperSettings
from tests.support.asking import choose as ask

POOL = build_pool(HelperSettings())
CONTEXT = SelectorContext(POOL)
STATE = VisibleState("", (), ())


async def choose(name: str, context: SelectorContext = CONTEXT, **options: Any) -> Selection:
    return await ask(SELECTORS.load(name)(context, **options), STATE)


async def test_none_all_irma_and_a_named_subset() -> None:
    assert (await choose("none")).subset == ()
    assert (await choose("all")).subset == tuple(POOL)
    assert (await choose("irma")).subset == ("DCE", "TSA", "Memory")
    chosen = await choose("fixed", subset=["Verifier", "TSA", "TSA"])
    assert chosen.subset == ("TSA", "Verifier")
    assert chosen.probabilities == {name: float(name in ("TSA", "Verifier")) for name in POOL}
    assert chosen.propensity == 1.0
    assert (await choose("fixed", subset=[])).subset == ()


async def test_fixed_records_the_propensity_it_was_drawn_with() -> None:
    assert (await choose("fixed", subset=["TSA"], propensity=0.125)).propensity == 0.125


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fixed", {}, "expected a list of helper names"),
        ("fixed", {"subset": "TSA"}, "expected a list of helper names"),
        ("fixed", {"subset": ["TSA", "Oracle"]}, "'Oracle' is not in the pool; known: DCE, TSA"),
        ("fixed", {"subset": ["TSA"], "propensity": 0}, "not a probability"),
        ("fixed", {"subset": ["TSA"], "propensity": True}, "not a probability"),
        ("fixed", {"subset": ["TSA"], "seed": 1}, "no option 'seed'"),
        ("none", {"subset": []}, "no option 'subset'"),
        ("all", {"k": 1}, "no option 'k'"),
    ],
)
async def test_bad_options_say_what_to_mend(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        await choose(name, **options)


async def test_irma_needs_its_helpers() -> None:
    with pytest.raises(BadInput, match="'Memory' is not in the pool"):
        await choose("irma", SelectorContext(build_pool(HelperSettings(pool=("TSA", "DCE")))))
