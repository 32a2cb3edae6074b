"""Prompted selection: an LLM chooses the helpers, from the visible state or from a diagnosed failure."""

import random
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fama.diagnosis.judging import ask_json
from fama.diagnosis.mitigation import catalogue, choice_form, minimal_cover, mitigate
from fama.dialogue.turns import shorten, spoken
from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.records import Failure, LedgerRow
from fama.episodes.state import VisibleState
from fama.episodes.store import read_failures
from fama.errors import BadInput
from fama.models.prefix import Question
from fama.prompts import render
from fama.selection.base import Allowance, AnySelector, Selection, SelectorContext
from fama.selection.traits import SelectorTraits, declare
from fama.subsets import in_pool_order, one_form_each
from fama.text.tokens import estimate_tokens

MAX_OUTPUT_TOKENS = 40
#: The form that asks at the end of the agent's own request.
ON_PREFIX = "on_prefix"
#: Chosen and unchosen helpers' probabilities: a prompted choice is no certainty.
CHOSEN, UNCHOSEN = 0.9, 0.1
_NAME = re.compile(r"\w+(?:[:-]\w+)*")


@declare(SelectorTraits(rival=0, payback=0, anchor=0))
def build(context: SelectorContext, form: object = None, **options: object) -> AnySelector:
    """Return the prompted selector.

    ``form`` is ``one_call`` (prospective: one call on the visible state), ``on_prefix`` (prospective: one question at
    the end of the agent's own request, which a server's prefix cache holds), ``diagnosis`` (retrospective: the task's
    diagnosed failure → mitigation agent) or ``static`` (either track: one subset for a backbone and domain, from the
    diagnosed failures of other tasks); without it, ``diagnosis`` where failures are given. Options of ``one_call``:
    ``messages`` (last messages shown, 6), ``policy_chars`` (500), ``message_chars`` (300). Option of ``on_prefix``:
    ``reply_tokens`` (40). Option of ``diagnosis`` and
    ``static``: ``failures``, a label file of this arm's own, so that judges can stand side by side; of ``static`` also
    ``share`` (0.25), the least share of failures that a category is primary in to be covered.

    Raises:
        BadInput: an unknown form or option, no model for ``one_call`` and ``on_prefix``, no agent for ``on_prefix``,
            or no failures for the others.
    """
    chosen = form or ("diagnosis" if context.failures is not None else "one_call")
    if chosen == "diagnosis":
        if context.failures is None:
            raise BadInput(
                "selector prompted: form diagnosis needs failures (retrospective track); give failures: FILE"
            )
        own = _labels(options.pop("failures", None)) or list(context.failures.values())
        if options:
            raise BadInput(f"selector prompted: unknown option {next(iter(options))!r}; form diagnosis has: failures")
        return FromDiagnosis(context, own)
    if chosen == "static":
        return _static(context, **options)
    if chosen not in ("one_call", ON_PREFIX):
        raise BadInput(f"selector prompted: unknown form {chosen!r}; known: one_call, on_prefix, diagnosis, static")
    if context.model is None:
        raise BadInput(f"selector prompted: form {chosen} needs a model; set model or helper_model")
    if chosen == ON_PREFIX:
        return OnPrefix(context, **options)
    return OneCall(context, options)


class OneCall:
    """Prospective: the visible state and the helper catalogue in, a subset out, in one short call."""

    name = "prompted"
    track: str = "prospective"

    def __init__(self, context: SelectorContext, options: Mapping[str, object]) -> None:
        limits = {"messages": 6, "policy_chars": 500, "message_chars": 300}
        for key, value in options.items():
            if key not in limits:
                raise BadInput(f"selector prompted: unknown option {key!r}; known: form, {', '.join(limits)}")
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise BadInput(f"selector prompted: {key} is {value!r}; give a whole number from 0")
            limits[key] = value
        self._context = context
        self._limits = limits
        self._pool = tuple(context.helpers)

    def prompt(self, state: VisibleState) -> str:
        """Return the call's only message: the state's newest part, the catalogue, the question."""
        count, chars = self._limits["messages"], self._limits["message_chars"]
        lines = []
        for message in state.messages[len(state.messages) - count :] if count < len(state.messages) else state.messages:
            calls = "; ".join(f"{c.function.name}({c.function.arguments})" for c in message.tool_calls or ())
            speaker = {"assistant": "agent"}.get(message.role, message.role)
            lines.append(f"{speaker}: {shorten(f'{spoken(message)} {calls}', chars)}")
        return render(
            "selection/prompted.v1",
            policy=shorten(state.policy, self._limits["policy_chars"]),
            lines=lines,
            tools=len(state.tools),
            helpers=catalogue(self._context.helpers),
        )

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Ask once; an answer that cannot be parsed selects nothing and is billed as unparsed."""
        started = time.perf_counter()
        prompt = self.prompt(state)
        model = self._context.model
        need = estimate_tokens(prompt) + MAX_OUTPUT_TOKENS
        if model is None or (allowance.tokens is not None and need > allowance.tokens):
            return _selection((), self._pool, (), time.perf_counter() - started)
        answer, ledger = await ask_json(
            model,
            ({"role": "user", "content": prompt},),
            "selector",
            choice_form(self._pool),
            seed=self._context.seed,
            max_tokens=MAX_OUTPUT_TOKENS,
            repairs=0,
            turn=state.turn,
        )
        subset = () if answer is None else in_pool_order(one_form_each(answer.helpers), self._pool)
        return _selection(subset, self._pool, ledger, time.perf_counter() - started)


class OnPrefix:
    """Prospective: one question at the end of the agent's own request, answered by names in one line."""

    name = "prompted"
    track: str = "prospective"

    def __init__(self, context: SelectorContext, reply_tokens: object = MAX_OUTPUT_TOKENS, **options: object) -> None:
        if options:
            raise BadInput(
                f"selector prompted: unknown option {next(iter(options))!r}; form on_prefix has: reply_tokens"
            )
        if not isinstance(reply_tokens, int) or isinstance(reply_tokens, bool) or reply_tokens < 1:
            raise BadInput(f"selector prompted: reply_tokens is {reply_tokens!r}; give a whole number from 1")
        if context.request is None:
            raise BadInput("selector prompted: form on_prefix asks within an agent's run; use fama run or compare")
        self._context = context
        self._request = context.request
        self._pool = tuple(context.helpers)
        rendered = render("questions/selection.v1", helpers=catalogue(context.helpers))
        self._question = Question.parse(rendered, reply_tokens)

    def most_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens of a call in this state."""
        return self._request(state).most_tokens() + self._question.most_tokens()

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Ask once; an answer that names no helper and does not say none selects nothing and is billed as unparsed.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        started = time.perf_counter()
        model = self._context.model
        if model is None or (allowance.tokens is not None and self.most_tokens(state) > allowance.tokens):
            return _selection((), self._pool, (), time.perf_counter() - started)
        request = self._question.put_to(model, self._request(state), "selector", seed=self._context.seed)
        reply = await model.complete(request)
        names = read_names(self._question.answer(reply), self._pool)
        row = reply.usage.model_copy(update={"parsed": names is not None, "turn": state.turn})
        return _selection(names or (), self._pool, (row,), time.perf_counter() - started)


def read_names(answer: str, pool: Sequence[str]) -> tuple[str, ...] | None:
    """Return the helpers that an answer names before any other word, in pool order; None if it starts with another.

    ``none`` is the empty subset. Of two that exclude each other the first one named stands.
    """
    known = {name.lower(): name for name in pool}
    found: list[str] = []
    for word in _NAME.findall(answer.lower()):
        if word in known:
            found.append(known[word])
        elif word != "and":
            if not found and word == "none":
                return ()
            break
    return in_pool_order(one_form_each(found), pool) if found else None


class FromDiagnosis:
    """Retrospective: the diagnosis of the failed episode → mitigation agent; none for a task that did not fail."""

    name = "prompted"
    track: str = "retrospective"

    def __init__(self, context: SelectorContext, failures: Sequence[Failure]) -> None:
        self._context = context
        self._failures = {_place(failure): failure for failure in reversed(failures)}
        self._pool = tuple(context.helpers)

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        """Return the subset for the task's failure: the set cover where there is no model, or no room for one."""
        started = time.perf_counter()
        failure = self._failures.get((key.domain, key.task_id)) or self._failures.get((None, key.task_id))
        if failure is None:
            return _selection((), self._pool, (), time.perf_counter() - started)
        room = allowance.tokens is None or allowance.tokens >= 600
        model = self._context.model if room else None
        found = await mitigate(failure, self._context.helpers, model, self._context.seed, state.turn)
        return _selection(found.subset, self._pool, found.ledger, time.perf_counter() - started)


class FromProfile:
    """One subset for every task of a backbone and domain: what covers the frequent failures of other tasks."""

    name = "prompted"

    def __init__(self, context: SelectorContext, failures: Sequence[Failure], share: float) -> None:
        self.track: str = "prospective" if context.failures is None else "retrospective"
        self._pool = tuple(context.helpers)
        self._seen = {_place(failure) for failure in failures}
        counts = Counter(category for failure in failures for category in set(failure.primary))
        frequent = [category for category, n in counts.items() if n >= share * len(failures)]
        self.subset = minimal_cover(frequent, context.helpers)

    def knows(self, task: TaskKey) -> bool:
        """Return whether the task's own failure is among the labels."""
        return bool(self._seen & {(task.domain, task.task_id), (None, task.task_id)})

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the subset, whatever the state."""
        return _selection(self.subset, self._pool, (), 0.0)


def _place(failure: Failure) -> tuple[str | None, str]:
    """Return the task within its domain; None for a domain that the label does not say."""
    return failure.domain, failure.task_id


def _static(context: SelectorContext, failures: object = None, share: object = 0.25, **options: object) -> AnySelector:
    if options:
        raise BadInput(f"selector prompted: unknown option {next(iter(options))!r}; form static has: failures, share")
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise BadInput(f"selector prompted: share is {share!r}; give a number from 0 to 1")
    labels = _labels(failures)
    if not labels:
        raise BadInput("selector prompted: form static needs labelled failures of other tasks; set options.failures")
    return FromProfile(context, labels, float(share))


def _labels(path: object) -> list[Failure]:
    """Return the labels of a file that an option names; none without one."""
    if path is None:
        return []
    if not isinstance(path, str):
        raise BadInput(f"selector prompted: failures is {path!r}; give the path of a failures.jsonl")
    return list(read_failures(Path(path)))


def _selection(
    subset: tuple[str, ...], pool: tuple[str, ...], ledger: tuple[LedgerRow, ...], seconds: float
) -> Selection:
    chances = {name: CHOSEN if name in subset else UNCHOSEN for name in pool}
    return Selection(subset=subset, probabilities=chances, propensity=1.0, ledger=ledger, seconds=seconds)
