"""Questions that a comparison was asked before it ran: what they were first asked of, and their answers."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.compare.schema import Answer
from eval.compare.task_sets import TaskSet, task_set
from eval.metrics.episode_scores import Score, amount
from eval.metrics.measures import Resampling, compare_pair, task_means
from eval.stats.margins import shows_margin
from fama.agents.runs.run_config import CONFIG
from fama.episodes.records import Record
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput
from fama.intervals import ratio_interval
from fama.selection.base import SELECTORS
from fama.settings import CompareSettings, QuestionSettings, SelectorSettings

log = logging.getLogger(__name__)

#: The key of ``config.json`` that holds what each question was first asked of.
ASKED = "asked"


def check_questions(settings: CompareSettings) -> None:
    """Refuse questions about arms that are not compared; warn of margins and shares of tokens without effect.

    Raises:
        BadInput: names the arm, and those there are.
    """
    arms = [arm.arm for arm in settings.arms]
    for question in settings.questions:
        for name in (question.arm, question.than):
            if name not in arms:
                raise BadInput(f"questions: no arm {name!r}; the arms are {', '.join(arms)}")
        if question.arm == question.than:
            raise BadInput(f"questions: {question.arm} is compared with itself; name two arms")
        if question.ask == "more" and question.changed("margin"):
            log.warning("questions: margin: more is more by any amount; it has no effect")
        plain = any(arm.arm == question.than and SELECTORS.traits(arm.name).plain for arm in settings.arms)
        if plain and question.tokens is not None:
            log.warning("questions: tokens: %s spends nothing on helpers; it has no effect", question.than)
        elif question.tokens is not None and settings.replay:
            log.warning("questions: tokens: a table does not say what helpers took of a cache; run it live")


class AskedQuestion(Record):
    """A question with the tasks and trials that it was first asked of; None in folders of before this was recorded."""

    question: QuestionSettings
    of: TaskSet | None = None


AskedTasks = dict[QuestionSettings, TaskSet | None]


def check_kept(settings: CompareSettings, out: Path) -> AskedTasks:
    """Return the questions asked in this folder so far; refuse to drop or change one, or an arm that it is about.

    Further arms may bring further ones; stored arms that no question is about are not read. A question about two arms
    that have episodes already comes after the run, and is refused as well.

    Raises:
        BadInput: names the question.
    """
    path = out / CONFIG
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        first = {one.question: one.of for one in map(AskedQuestion.model_validate, content.get(ASKED, ()))}
        written = map(QuestionSettings.model_validate, content["settings"].get("questions", ()))
        asked = {question: first.get(question) for question in written}
        named = {name for question in asked for name in (question.arm, question.than)}
        stored = [arm for arm in content["settings"].get("arms", ()) if (arm.get("label") or arm.get("name")) in named]
        arms = {arm.arm: arm for arm in map(SelectorSettings.model_validate, stored)}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path}: cannot be read; give another folder with --out") from None
    for question in asked:
        if question not in settings.questions:
            raise BadInput(
                f"{path}: questions: {_told(question)} was asked before the run; keep it, or give another folder with "
                "--out"
            )
    new = [question for question in settings.questions if question not in asked]
    other = {arm.arm for arm in settings.arms if arms.get(arm.arm, arm) != arm}
    about = [(question, name) for question in asked for name in (question.arm, question.than) if name in other]
    run = {episode.selector for episode in EpisodeStore(out).read()} if new or about else set()
    for question in new:
        if {question.arm, question.than} <= run:
            raise BadInput(
                f"{path}: questions: {_told(question)} comes after both arms were run; leave it out, or ask it in "
                "another folder with --out"
            )
    for question, name in about:
        if name in run:
            raise BadInput(
                f"{path}: arms: {name} was run with other options, and {_told(question)} was asked of it; set them "
                "back, give the new arm another label, or give another folder with --out"
            )
    return asked


def first_asked(settings: CompareSettings, before: AskedTasks, tasks: Sequence[str]) -> AskedTasks:
    """Return what each question was first asked of: these tasks, where it was not asked before."""
    return {one: before.get(one, task_set(tasks, settings.trials)) for one in settings.questions}


def written_asked(asked: AskedTasks) -> dict[str, Any]:
    """Return what ``config.json`` holds of it."""
    return {ASKED: [AskedQuestion(question=one, of=of).model_dump(mode="json") for one, of in asked.items()]}


def _told(question: QuestionSettings) -> str:
    return ", ".join(f"{key}: {value}" for key, value in question.model_dump(exclude_none=True).items())


def answer(
    question: QuestionSettings,
    scores: Mapping[str, Sequence[Score]],
    tasks: Sequence[str],
    resampling: Resampling,
    asked: TaskSet | None = None,
) -> Answer:
    """Answer one question on the pairs of task and trial that both arms have a verdict on.

    ``asked`` is what it was first asked of, None where that was not recorded.
    """
    ours, theirs = scores[question.arm], scores[question.than]
    pairs = {s.key.pair for s in ours if s.scored} & {s.key.pair for s in theirs if s.scored}
    difference = compare_pair(ours, theirs, question.than, tasks, resampling).estimate
    share = None
    if question.tokens is not None:
        means = [
            task_means([s for s in side if s.key.pair in pairs], tasks, lambda s: amount(s.tokens.help_new))
            for side in (ours, theirs)
        ]
        share = ratio_interval(means[0], means[1], resampling.weights(len(tasks)))
    cheap = None
    if question.tokens is not None and share is not None and share.low is not None:
        cheap = share.high is not None and share.high <= question.tokens
    return Answer(
        **question.model_dump(),
        difference=difference,
        shown=shows_margin(difference, question.ask, question.margin),
        token_share=share,
        tokens_shown=cheap,
        asked=asked,
    )
