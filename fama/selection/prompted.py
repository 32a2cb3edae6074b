"""Prompted selection: an LLM chooses the helpers, from the visible state or from a diagnosed failure."""

import random
import time
from collections.abc import Mapping

from fama.diagnosis.judging import ask_json
from fama.diagnosis.mitigation import catalogue, mitigate
from fama.diagnosis.trace import shorten, spoken
from fama.episodes.records import Failure, LedgerRow
from fama.errors import BadInput
from fama.prompts import render
from fama.selection.base import Allowance, Selection, Selector, SelectorContext, in_pool_order
from fama.state import VisibleState
from fama.tokens import estimate_tokens

MAX_OUTPUT_TOKENS = 40
#: Chosen and unchosen helpers' probabilities: a prompted choice is no certainty.
CHOSEN, UNCHOSEN = 0.9, 0.1


def build(context: SelectorContext, form: object = None, **options: object) -> Selector:
    """The prompted selector.

    ``form`` is ``one_call`` (prospective: one call on the visible state) or ``diagnosis`` (retrospective: the
    task's diagnosed failure → mitigation agent); without it, ``diagnosis`` where failures are given. Options of
    ``one_call``: ``messages`` (last messages shown, 6), ``policy_chars`` (500), ``message_chars`` (300).

    Raises:
        BadInput: an unknown form or option, no model for ``one_call``, or no failures for ``diagnosis``.
    """
    chosen = form or ("diagnosis" if context.failures is not None else "one_call")
    if chosen == "diagnosis":
        if context.failures is None:
            raise BadInput(
                "selector prompted: form diagnosis needs failures (retrospective track); give failures: FILE"
            )
        if options:
            raise BadInput(f"selector prompted: unknown option {next(iter(options))!r}; form diagnosis has none")
        return FromDiagnosis(context, context.failures)
    if chosen != "one_call":
        raise BadInput(f"selector prompted: unknown form {chosen!r}; known: one_call, diagnosis")
    if context.model is None:
        raise BadInput("selector prompted: form one_call needs a model; set model or helper_model")
    return OneCall(context, options)


class OneCall:
    """Prospective: the visible state and the helper catalogue in, a subset out, in one short call."""

    name = "prompted"
    track = "prospective"

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
        """The call's only message: the state's newest part, the catalogue, the question."""
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
        schema = {
            "type": "object",
            "properties": {
                "helpers": {
                    "type": "array",
                    "items": {"type": "string", "enum": list(self._pool)},
                    "maxItems": len(self._pool),
                }
            },
            "required": ["helpers"],
            "additionalProperties": False,
        }
        answer, ledger = await ask_json(
            model,
            ({"role": "user", "content": prompt},),
            "selector",
            schema,
            seed=self._context.seed,
            max_tokens=MAX_OUTPUT_TOKENS,
            repairs=0,
            turn=state.turn,
        )
        subset = () if answer is None else in_pool_order(answer["helpers"], self._pool)
        return _selection(subset, self._pool, ledger, time.perf_counter() - started)


class FromDiagnosis:
    """Retrospective: the diagnosis of the failed episode → mitigation agent; none for a task that did not fail."""

    name = "prompted"
    track = "retrospective"

    def __init__(self, context: SelectorContext, failures: Mapping[str, Failure]) -> None:
        self._context = context
        self._failures = failures
        self._pool = tuple(context.helpers)

    async def select(self, state: VisibleState, allowance: Allowance, rng: random.Random) -> Selection:
        """The subset for the task's failure; the set cover when no model is given or the budget has no room for one."""
        started = time.perf_counter()
        failure = self._failures.get(state.key.task_id)
        if failure is None:
            return _selection((), self._pool, (), time.perf_counter() - started)
        room = allowance.tokens is None or allowance.tokens >= 600
        model = self._context.model if room else None
        found = await mitigate(failure, self._context.helpers, model, self._context.seed, state.turn)
        return _selection(found.subset, self._pool, found.ledger, time.perf_counter() - started)


def _selection(
    subset: tuple[str, ...], pool: tuple[str, ...], ledger: tuple[LedgerRow, ...], seconds: float
) -> Selection:
    chances = {name: CHOSEN if name in subset else UNCHOSEN for name in pool}
    return Selection(subset=subset, probabilities=chances, propensity=1.0, ledger=ledger, seconds=seconds)
