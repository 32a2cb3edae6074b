"""Diagnoses as Ray tasks: what a worker needs to label one episode."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fama.diagnosis.diagnose import Labelled, diagnose_episode
from fama.diagnosis.taxonomy import Taxonomy
from fama.episodes.records import Episode
from fama.settings import ModelSettings


@dataclass(frozen=True)
class DiagnosisRecipe:
    """Recipe from which a worker labels episodes (``diagnose_episode``); ``judge`` None leaves it to detectors."""

    judge: ModelSettings | None
    taxonomy: Taxonomy
    use_evidence: bool = True
    context_tokens: int = 6000

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Callable[[Episode], Awaitable[Labelled]]]:
        """Connect the judge; the function labels one failed episode."""
        from fama.diagnosis.judge_model import connect_judge

        async with connect_judge(self.judge) as judge:
            yield partial(
                diagnose_episode,
                judge=judge,
                taxonomy=self.taxonomy,
                use_evidence=self.use_evidence,
                context_tokens=self.context_tokens,
            )
