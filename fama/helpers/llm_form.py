"""Helpers whose note a chat model writes, asked at the end of the agent's own request or with an own prompt."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fama.dialogue.language import words
from fama.dialogue.turns import noted_texts
from fama.episodes.records import Message
from fama.episodes.state import VisibleState
from fama.helpers.base import HelperContext, HelperReply
from fama.models.base import ChatRequest, Sampling
from fama.models.client import ContextOverflow
from fama.models.prefix import Question, line_fault
from fama.prompts import render
from fama.settings import Form
from fama.text.tokens import estimate_tokens

Gate = Callable[[VisibleState], bool]
#: What a question says of the state, as values of its template; None where the subject cannot come up.
About = Callable[[VisibleState], Mapping[str, object] | None]

#: Output tokens of a helper's model call.
REPLY_TOKENS = 60
#: What a chat template may add around the one user message (role marks, a default system line).
TEMPLATE_TOKENS = 40
#: Most tokens of a question with its answer, beyond the agent's own request.
QUESTION_TOKENS = 400

_TOO_LONG = "the question does not fit the model's context"
_SILENCE = re.compile(r"(?:none|nothing|no note|silent|silence|n/?a|not needed|ok)?", re.IGNORECASE)
_AROUND = re.compile(r"^\W+|(?<=\w)\W+$")
_LABEL = re.compile(r"^\s*(?:note|reminder|answer|hint|output)\s*:\s*", re.IGNORECASE)


@dataclass(eq=False)
class PrefixHelper:
    """A helper that asks at the end of the agent's own request, so that a server reads only its question anew.

    ``about`` returns what the question says of the state; None keeps the helper silent, at no cost. ``prompt`` names
    the template of the question, whose last line opens the answer and the note; where it ends with a double quote, the
    answer is what is quoted. ``values`` are the helper's own. ``cost_cap`` is what a note costs beyond the agent's
    request.
    """

    name: str
    covers: frozenset[str]
    token_cap: int
    prompt: str
    about: About = field(repr=False)
    values: dict[str, object] = field(default_factory=dict)
    cost_cap: int = QUESTION_TOKENS
    on_prefix: bool = True
    reads_notes: bool = False
    form: Form = "llm"
    does: str = ""

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the opening with the model's answer; no text when it has nothing to say or no model is there.

        Raises:
            ModelError: the endpoint failed after all retries.
            ValueError: there is a model and no request of the agent.
        """
        if context.model is None or (about := self.about(state)) is None:
            return HelperReply(None)
        if context.request is None:
            raise ValueError(
                f"{self.name}: form llm asks at the end of the agent's request; give HelperContext.request"
            )
        question = self.question(about)
        if question.most_tokens() > self.cost_cap:
            return HelperReply(None, fault="the question passes its cost cap")
        request = question.put_to(
            context.model, context.request, f"helper:{self.name}", seed=context.seed, trial=context.trial
        )
        try:
            reply = await context.model.complete(request)
        except ContextOverflow as error:  # the agent's own request may still fit
            return HelperReply(None, error.billed, _TOO_LONG)
        if fault := question.fault(reply):
            return HelperReply(None, (reply.usage,), fault)
        said = clean_reply(question.answer(reply))
        if said is not None and question.quotes and not _is_said(said, state):
            return HelperReply(None, (reply.usage,), fault="quotes what nobody said")
        note = question.note(said)
        return HelperReply(None if note in noted_texts(state, self.name) else note, (reply.usage,))

    def question(self, about: Mapping[str, object]) -> Question:
        """Return the question about the coming decision.

        It shows no earlier notes: a small model repeats what it sees there.
        """
        return Question.parse(render(self.prompt, **about, **self.values), REPLY_TOKENS)


@dataclass(eq=False)
class SeparateHelper:
    """A helper with a prompt of its own, which shares no prefix with the agent's request.

    ``gate`` keeps it silent, at no cost, where its subject cannot come up. The prompt is cut to
    ``cost_cap`` by leaving out the oldest messages, then the end of the policy and of the tools' list.
    """

    name: str
    covers: frozenset[str]
    token_cap: int
    cost_cap: int
    prompt: Callable[[dict[str, object]], str] = field(repr=False)
    gate: Gate = field(repr=False)
    reads_notes: bool = False
    form: Form = "separate"
    does: str = ""

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
        try:
            reply = await context.model.complete(request)
        except ContextOverflow as error:
            return HelperReply(None, error.billed, _TOO_LONG)
        if fault := line_fault(reply, reply.words.strip()):
            return HelperReply(None, (reply.usage,), fault)
        note = clean_reply(reply.words)
        given = noted_texts(state, self.name)
        return HelperReply(None if note in given else note, (reply.usage,))


def _is_said(quoted: str, state: VisibleState) -> bool:
    """Return whether a message of the user or of a tool has the words of a quotation, but one in five at most."""
    wanted = words(quoted)
    said = (set(words(message.content or "")) for message in state.messages if message.role in ("user", "tool"))
    return any(sum(word in heard for word in wanted) >= 0.8 * len(wanted) for heard in said)


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
