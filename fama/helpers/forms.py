"""The two forms of a helper: deterministic (template) and written by a chat model (llm)."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fama.dialogue.turns import noted_texts
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper, HelperContext, HelperReply
from fama.models.base import ChatRequest, Sampling
from fama.prompts import render
from fama.settings import Form
from fama.text.tokens import estimate_tokens


class Candidate(NamedTuple):
    """A note's text, and how often it may be given in an episode: once, or once per event that recurs."""

    text: str
    times: int = 1


#: Candidate notes of a state, best first.
Writer = Callable[[VisibleState], Iterable[Candidate]]
Gate = Callable[[VisibleState], bool]

#: The question that a change waits for. The tool comes first and alone: in one clause with the question, a small
#: model makes the change (docs/lab-log.md).
ASK_YES = "Suggested next tool: respond. Ask for a yes to {tool}."

#: What comes once the record that a question is about has been looked up.
ANSWER = "The user asked: {question}. Suggested next tool: respond, to tell what {tool} shows."

#: Output tokens of a helper's model call.
REPLY_TOKENS = 60
#: What a chat template may add around the one user message (role marks, a default system line).
TEMPLATE_TOKENS = 40

_SILENCE = re.compile(r"(?:none|nothing|no note|silent|silence|n/?a|not needed|ok)?", re.IGNORECASE)
_AROUND = re.compile(r"^\W+|(?<=\w)\W+$")
_LABEL = re.compile(r"^\s*(?:note|reminder|answer|hint|output)\s*:\s*", re.IGNORECASE)


@dataclass(eq=False)
class TemplateHelper:
    """A helper that computes its note: no model, no tokens. It never gives the same note twice for one event."""

    name: str
    covers: frozenset[str]
    token_cap: int
    write: Writer = field(repr=False)
    cost_cap: int = 0

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the first candidate that fits the cap, unless this helper gave it before."""
        for text, times in self.write(state):
            if estimate_tokens(text) <= self.token_cap:
                return HelperReply(text if noted_texts(state, self.name).count(text) < times else None)
        return HelperReply(None)


@dataclass(eq=False)
class LlmHelper:
    """A helper whose note a chat model writes from a versioned prompt.

    ``gate`` keeps it silent, at no cost, where its subject cannot come up. The prompt is cut to
    ``cost_cap`` by leaving out the oldest messages, then the end of the policy and of the tools' list.
    """

    name: str
    covers: frozenset[str]
    token_cap: int
    cost_cap: int
    prompt: Callable[[dict[str, object]], str] = field(repr=False)
    gate: Gate = field(repr=False)

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the model's line, or None when it has nothing to say or no model is there."""
        if context.model is None or not self.gate(state):
            return HelperReply(None)
        text = fit_prompt(self.prompt, state, self.name, self.cost_cap - REPLY_TOKENS - TEMPLATE_TOKENS)
        if text is None:
            return HelperReply(None)
        request = ChatRequest(
            messages=({"role": "user", "content": text},),
            role=f"helper:{self.name}",
            sampling=Sampling(max_tokens=REPLY_TOKENS, stop=("\n",)),
            seed=context.seed,
            trial=context.trial,
        )
        reply = await context.model.complete(request)
        note = clean_reply(reply.words)
        given = noted_texts(state, self.name)
        return HelperReply(None if note in given else note, (reply.usage,))


def clean_reply(text: str) -> str | None:
    """Return the note in a model's answer: the first line that says something, no label; None for silence."""
    for line in text.strip().splitlines():
        note = _LABEL.sub("", line.strip().strip("`*").strip()).strip()
        if len(note) >= 2 and note[0] == note[-1] == '"' and '"' not in note[1:-1]:
            note = note[1:-1].strip()
        if note:
            return None if _SILENCE.fullmatch(_AROUND.sub("", note)) else note
    return None


def fit_prompt(prompt: Callable[[dict[str, object]], str], state: VisibleState, helper: str, cap: int) -> str | None:
    """Return the prompt within ``cap`` tokens (upper estimate), or None when even the shortest one is over it."""
    dialogue = [line for message in state.messages if (line := _line(message))]
    values: dict[str, object] = {
        "policy": state.policy,
        "tools": [{"name": tool.name, "description": tool.description} for tool in state.tools],
        "dialogue": dialogue,
        "noted": list(dict.fromkeys(noted_texts(state, helper))),
    }
    for shorten in (0, 600, 300, 120):
        if shorten:
            values["dialogue"] = [line[:shorten] for line in dialogue]
        for keep in (len(dialogue), 12, 8, 6, 4, 2):
            values["dialogue"] = [line[: shorten or None] for line in dialogue][-keep:]
            text = prompt(values)
            if estimate_tokens(text) <= cap:
                return text
    over = estimate_tokens(text) - cap
    values["policy"] = _cut(state.policy, max(0, estimate_tokens(state.policy) - over))
    text = prompt(values)
    if estimate_tokens(text) > cap:
        values["tools"] = [{"name": tool.name, "description": ""} for tool in state.tools]
        text = prompt(values)
    return text if estimate_tokens(text) <= cap else None


def _line(message: Message) -> str:
    called = " ".join(f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ())
    parts = [part for part in ((message.content or "").strip(), f"calls {called}" if called else "") if part]
    return f"{message.role}: {' '.join(' '.join(parts).split())}" if parts else ""


def _cut(text: str, tokens: int) -> str:
    while text and estimate_tokens(text) > tokens:
        text = text[: int(len(text) * 0.9)].rsplit("\n", 1)[0] if "\n" in text[1:] else text[: int(len(text) * 0.9)]
    return text


def make(
    name: str,
    covers: Iterable[str],
    *,
    form: Form,
    write: Writer,
    token_cap: int,
    llm_cost_cap: int,
    gate: Gate,
    version: str = "v1",
    **values: object,
) -> Helper:
    """Return a helper in the asked form; its LLM form uses the prompt ``helpers/<name>.<version>``.

    ``values`` are the helper's own, for its prompt.
    """
    if form == "template":
        return TemplateHelper(name, frozenset(covers), token_cap, write)
    prompt = f"helpers/{name.lower()}.{version}"
    return LlmHelper(
        name, frozenset(covers), token_cap, llm_cost_cap, lambda seen: render(prompt, **seen, **values), gate
    )


def refuse_options(name: str, options: Mapping[str, object]) -> None:
    """Refuse options that a helper does not have.

    Raises:
        BadInput: there is one.
    """
    if options:
        raise BadInput(f"helpers.options.{name}: no option {next(iter(options))!r}; remove it")
