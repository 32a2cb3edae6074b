"""Ask a selector of either kind about a state, as a run does."""

import asyncio
import random

from fama.episodes.keys import EpisodeKey
from fama.episodes.state import VisibleState
from fama.selection.base import Allowance, AnySelector, Selection, select_for

KEY = EpisodeKey("b", "d", "t1", 0, "m", "act")


async def choose(
    selector: AnySelector, state: VisibleState, tokens: int | None = None, key: EpisodeKey = KEY, seed: int = 0
) -> Selection:
    """The selector's choice for an episode."""
    return await select_for(key, selector, state, Allowance(tokens), random.Random(seed))


def choose_now(
    selector: AnySelector, state: VisibleState, tokens: int | None = None, key: EpisodeKey = KEY
) -> Selection:
    """The same for tests that are not asynchronous."""
    return asyncio.run(choose(selector, state, tokens, key))
