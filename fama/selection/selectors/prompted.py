"""Prompted selection: an LLM chooses the helpers, from the visible state or from a diagnosed failure."""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fama.diagnosis.judging import REPAIR, response_schema
from fama.diagnosis.mitigation import (
    catalogue,
    choice_form,
    covering_under,
    minimal_cover,
    mitigate,
    mitigation_prompt,
)
from fama.diagnosis.taxonomy import load_taxonomy
from fama.dialogue.turns import shorten, spoken
from fama.episodes.keys import EpisodeKey, TaskKey
from fama.episodes.records import Failure, LedgerRow
from fama.episodes.state import VisibleState
from fama.episodes.store import read_failures
from fama.errors import BadInput
from fama.models.base import ChatReply, ChatRequest, Sampling
from fama.models.ends import ReplyEnd
from fama.models.prefix import Question
from fama.prompts import render
from fama.selection.asking import ask_for_helpers, call_tokens, repair_tokens
from fama.selection.base import Allowance, AnySelector, Selection, SelectorContext
from fama.selection.helper_choice import NamedHelpers, default_reply_tokens, read_choice
from fama.selection.traits import SelectorTraits, declare

#: Further calls after a reply that could not be read, unless the option ``repairs`` says otherwise.
REPAIRS = 1
#: Said on the agent's prefix after an answer that could not be read.
COMPLAINT = "That named no helper. Answer in one line with names from the list, separated by commas, or none."
#: The form that asks at the end of the agent's own request.
ON_PREFIX = "on_prefix"
#: Chosen and unchosen helpers' probabilities: a prompted choice is no certainty.
CHOSEN, UNCHOSEN = 0.9, 0.1


@declare(SelectorTraits(rival=0, payback=0, anchor=0))
def build(context: SelectorContext, form: object = None, **options: object) -> AnySelector:
    """Return the prompted selector.

    ``form`` is ``one_call`` (prospective: one call on the visible state), ``on_prefix`` (prospective: one question at
    the end of the agent's own request, which a server's prefix cache holds), ``diagnosis`` (retrospective: the task's
    diagnosed failure → mitigation agent) or ``static`` (either track: one subset for a backbone and domain, from the
    diagnosed failures of other tasks); without it, ``diagnosis`` where failures are given. Options of ``one_call``:
    ``messages`` (last messages shown, 6), ``policy_chars`` (500), ``message_chars`` (300). Option of ``diagnosis`` and
    ``static``: ``failures``, a label file of this arm's own, so that judges can stand side by side, and ``taxonomy``,
    the file of a taxonomy of the user's own that the failures were labelled under; of ``static`` also
    ``share`` (0.25), the least share of failures that a category is primary in to be covered. All forms with a model
    have ``reply_tokens`` (output tokens per call, by default what the names of the whole pool need, see
    ``default_reply_tokens``) and ``repairs`` (further calls after a reply that cannot be read, 1).

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
        limits = _limits(options, context)
        own = _labels(options.pop("failures", None)) or list(context.failures.values())
        taxonomy = options.pop("taxonomy", None)
        if options:
            raise BadInput(
                f"selector prompted: unknown option {next(iter(options))!r}; form diagnosis has: failures, "
                "reply_tokens, repairs, taxonomy"
            )
        return FromDiagnosis(_under(context, own, taxonomy), own, limits)
    if chosen == "static":
        return _static(context, **options)
    if chosen not in ("one_call", ON_PREFIX):
        raise BadInput(f"selector prompted: unknown form {chosen!r}; known: one_call, on_prefix, diagnosis, static")
    if context.model is None:
        raise BadInput(f"selector prompted: form {chosen} needs a model; set model or helper_model")
    if chosen == ON_PREFIX:
        return OnPrefix(context, options)
    return OneCall(context, options)


@dataclass(frozen=True)
class CallLimits:
    """Limits of a selection: output tokens per call, and further calls after replies that cannot be read."""

    reply_tokens: int
    repairs: int


def _limits(options: dict[str, object], context: SelectorContext) -> CallLimits:
    """Take the limits out of the options.

    Raises:
        BadInput: one is no whole number, or too small.
    """
    own = default_reply_tokens(tuple(context.helpers))
    return CallLimits(
        _whole("reply_tokens", options.pop("reply_tokens", own), 1),
        _whole("repairs", options.pop("repairs", REPAIRS), 0),
    )


def _whole(name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadInput(f"selector prompted: {name} is {value!r}; give a whole number from {least}")
    return value


class OneCall:
    """Prospective: the visible state and the helper catalogue in, a subset out, in one short call."""

    name = "prompted"
    track: str = "prospective"

    def __init__(self, context: SelectorContext, options: Mapping[str, object]) -> None:
        rest = dict(options)
        self._limits = _limits(rest, context)
        shown = {"messages": 6, "policy_chars": 500, "message_chars": 300}
        for key, value in rest.items():
            if key not in shown:
                known = ", ".join(("form", *shown, "reply_tokens", "repairs"))
                raise BadInput(f"selector prompted: unknown option {key!r}; known: {known}")
            shown[key] = _whole(key, value, 0)
        self._context = context
        self._shown = shown
        self._pool = tuple(context.helpers)
        self._schema = response_schema(choice_form(self._pool))

    def prompt(self, state: VisibleState) -> str:
        """Return the call's only message: the state's newest part, the catalogue, the question."""
        count, chars = self._shown["messages"], self._shown["message_chars"]
        lines = []
        for message in state.messages[len(state.messages) - count :] if count < len(state.messages) else state.messages:
            calls = "; ".join(f"{c.function.name}({c.function.arguments})" for c in message.tool_calls or ())
            speaker = {"assistant": "agent"}.get(message.role, message.role)
            lines.append(f"{speaker}: {shorten(f'{spoken(message)} {calls}', chars)}")
        return render(
            "selection/prompted.v1",
            policy=shorten(state.policy, self._shown["policy_chars"]),
            lines=lines,
            tools=len(state.tools),
            helpers=catalogue(self._context.helpers),
        )

    def most_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens of the first call in this state."""
        return call_tokens(self._request(state))

    def repair_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens of all repairs in this state."""
        return repair_tokens(self.most_tokens(state), self._limits.reply_tokens, REPAIR, self._limits.repairs)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Ask, and again after a reply that cannot be read; without a readable one nothing is selected.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        started = time.perf_counter()
        model, request = self._context.model, self._request(state)
        if model is None or (allowance.tokens is not None and call_tokens(request) > allowance.tokens):
            return _selection((), self._pool, (), time.perf_counter() - started)
        asked = await ask_for_helpers(
            model, request, self._read, REPAIR, self._limits.repairs, allowance.tokens, state.turn
        )
        return _selection(asked.subset or (), self._pool, asked.ledger, time.perf_counter() - started)

    def _request(self, state: VisibleState) -> ChatRequest:
        return ChatRequest(
            messages=({"role": "user", "content": self.prompt(state)},),
            role="selector",
            sampling=Sampling(temperature=0.0, max_tokens=self._limits.reply_tokens),
            seed=self._context.seed,
            json_schema=self._schema,
        )

    def _read(self, reply: ChatReply) -> NamedHelpers:
        return read_choice(reply.words, self._pool, reply.end is ReplyEnd.LENGTH)


class OnPrefix:
    """Prospective: one question at the end of the agent's own request, answered by names in one line.

    No JSON schema is sent: llama.cpp refuses one together with a prefill.
    """

    name = "prompted"
    track: str = "prospective"

    def __init__(self, context: SelectorContext, options: Mapping[str, object]) -> None:
        rest = dict(options)
        self._limits = _limits(rest, context)
        if rest:
            raise BadInput(
                f"selector prompted: unknown option {next(iter(rest))!r}; form on_prefix has: reply_tokens, repairs"
            )
        if context.request is None:
            raise BadInput("selector prompted: form on_prefix asks within an agent's run; use fama run or compare")
        self._context = context
        self._request = context.request
        self._pool = tuple(context.helpers)
        rendered = render("questions/selection.v2", helpers=catalogue(context.helpers))
        self._question = Question.parse(rendered, self._limits.reply_tokens)

    def most_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens of the first call in this state."""
        return self._request(state).most_tokens() + self._question.most_tokens()

    def repair_tokens(self, state: VisibleState) -> int:
        """Return an upper estimate of the tokens of all repairs in this state."""
        return repair_tokens(self.most_tokens(state), self._limits.reply_tokens, COMPLAINT, self._limits.repairs)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Ask, and again after an answer that neither names a helper nor says none; without one nothing is selected.

        Raises:
            ModelError: the endpoint failed after all retries.
        """
        started = time.perf_counter()
        model = self._context.model
        if model is None or (allowance.tokens is not None and self.most_tokens(state) > allowance.tokens):
            return _selection((), self._pool, (), time.perf_counter() - started)
        request = self._question.put_to(model, self._request(state), "selector", seed=self._context.seed)
        asked = await ask_for_helpers(
            model, request, self._read, COMPLAINT, self._limits.repairs, allowance.tokens, state.turn
        )
        return _selection(asked.subset or (), self._pool, asked.ledger, time.perf_counter() - started)

    def _read(self, reply: ChatReply) -> NamedHelpers:
        return read_choice(self._question.answer(reply), self._pool, reply.end is ReplyEnd.LENGTH)


class FromDiagnosis:
    """Retrospective: the diagnosis of the failed episode → mitigation agent; none for a task that did not fail."""

    name = "prompted"
    track: str = "retrospective"

    def __init__(self, context: SelectorContext, failures: Sequence[Failure], limits: CallLimits) -> None:
        self._context = context
        self._limits = limits
        self._failures = {_place(failure): failure for failure in reversed(failures)}
        self._pool = tuple(context.helpers)

    async def select_keyed(
        self, key: EpisodeKey, state: VisibleState, allowance: Allowance, rng: random.Random
    ) -> Selection:
        """Return the subset for the task's failure: the set cover where there is no model, or no room for one."""
        started = time.perf_counter()
        failure = self._failure(key.task)
        if failure is None:
            return _selection((), self._pool, (), time.perf_counter() - started)
        room = allowance.tokens is None or self.tokens_for(key.task, allowance) > 0
        model = self._context.model if room else None
        limits = (self._limits.reply_tokens, self._limits.repairs)
        found = await mitigate(failure, self._context.helpers, model, self._context.seed, state.turn, *limits)
        return _selection(found.subset, self._pool, found.ledger, time.perf_counter() - started)

    def tokens_for(self, task: TaskKey, allowance: Allowance) -> int:
        """Return the most tokens that the mitigation agent takes; 0 where it is not asked or has no room."""
        failure = self._failure(task)
        if failure is None or self._context.model is None:
            return 0
        most = self._most_tokens(failure)
        return most if allowance.tokens is None or most <= allowance.tokens else 0

    def _failure(self, task: TaskKey) -> Failure | None:
        found = self._failures.get((task.domain, task.task_id)) or self._failures.get((None, task.task_id))
        if found is None or found.key.canonical.benchmark not in (None, task.canonical.benchmark):
            return None  # no label, or one of another benchmark's task of that name
        return found

    def _most_tokens(self, failure: Failure) -> int:
        """Return an upper estimate of the tokens of the mitigation agent's call with all its repairs."""
        message = {"role": "user", "content": mitigation_prompt(failure, self._context.helpers)}
        sampling = Sampling(max_tokens=self._limits.reply_tokens)
        first = call_tokens(ChatRequest(messages=(message,), role="mitigation", sampling=sampling))
        return first + repair_tokens(first, self._limits.reply_tokens, REPAIR, self._limits.repairs)


class FromProfile:
    """One subset for every task of a backbone and domain: what covers the frequent failures of other tasks."""

    name = "prompted"

    def __init__(self, context: SelectorContext, failures: Sequence[Failure], share: float) -> None:
        self.track: str = "prospective" if context.failures is None else "retrospective"
        self._pool = tuple(context.helpers)
        self._seen = {failure.key.canonical for failure in failures}
        counts = Counter(category for failure in failures for category in set(failure.primary))
        frequent = [category for category, n in counts.items() if n >= share * len(failures)]
        self.subset = minimal_cover(frequent, context.helpers)

    def knows(self, task: TaskKey) -> bool:
        """Return whether the task's own failure is among the labels."""
        own = task.canonical
        less = {replace(own, benchmark=None), replace(own, domain=None), TaskKey(None, None, own.task_id)}
        return not self._seen.isdisjoint({own, *less})  # a label may not say its benchmark or domain

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """Return the subset, whatever the state."""
        return _selection(self.subset, self._pool, (), 0.0)


def _place(failure: Failure) -> tuple[str | None, str]:
    """Return the task within its domain; None for a domain that the label does not say."""
    return failure.domain, failure.task_id


def _static(
    context: SelectorContext,
    failures: object = None,
    share: object = 0.25,
    taxonomy: object = None,
    **options: object,
) -> AnySelector:
    if options:
        raise BadInput(
            f"selector prompted: unknown option {next(iter(options))!r}; form static has: failures, share, taxonomy"
        )
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise BadInput(f"selector prompted: share is {share!r}; give a number from 0 to 1")
    labels = _labels(failures)
    if not labels:
        raise BadInput("selector prompted: form static needs labelled failures of other tasks; set options.failures")
    return FromProfile(_under(context, labels, taxonomy), labels, float(share))


def _under(context: SelectorContext, labels: Sequence[Failure], file: object) -> SelectorContext:
    """Return the context whose helpers cover what the labels' taxonomy says; the shipped one where no file is given.

    Raises:
        BadInput: the labels name a category that it lacks, or the file is wrong.
    """
    if file is not None and not isinstance(file, str):
        raise BadInput(f"selector prompted: taxonomy is {file!r}; give the path of its file")
    taxonomy = load_taxonomy(Path(file) if file else None)
    covering = covering_under(context.helpers, taxonomy)
    known = {*taxonomy.codes, *(code for helper in covering.values() for code in helper.covers)}
    if unknown := sorted({code for label in labels for code in label.primary} - known):
        raise BadInput(
            f"selector prompted: the failures name the category {unknown[0]!r}, which {taxonomy.version} lacks; give "
            "the file of their taxonomy as options.taxonomy"
        )
    return replace(context, helpers=covering) if file else context


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
