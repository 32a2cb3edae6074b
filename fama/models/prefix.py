"""Questions at the end of the agent's own request, so that a server's prefix cache holds all but the question."""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from fama.models.base import ChatModel, ChatReply, ChatRequest, Sampling
from fama.models.ends import ReplyEnd
from fama.text.tokens import estimate_tokens

#: What a chat template may add around one message, and around a list of tools.
_MESSAGE_TOKENS, _TOOLS_TOKENS = 8, 256
#: Encoded bytes in a part that is no text: an image, a sound, a file.
_ENCODED = re.compile(r'(?<!"text": )"(?:data:[^",\s]*,)?[A-Za-z0-9+/=_-]{1000,}"')
#: What Claude counts for its largest image, and GPT-4o a little less (its documentation: 85 and 170 a tile of eight).
_IMAGE_TOKENS = 1600
#: Encoded characters of a file for each token, a guess: of a PDF with text, about as many.
_PER_TOKEN = 64
_BEGIN = "Begin your answer with exactly this: "


class AgentRequest(NamedTuple):
    """The agent's request of a decision before any note: what a question is put behind, byte for byte."""

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()

    def most_tokens(self) -> int:
        """Return an upper estimate of the tokens that a server reads of it."""
        around = _MESSAGE_TOKENS * (len(self.messages) + 1) + (_TOOLS_TOKENS if self.tools else 0)
        return sum(map(_most_tokens, (*self.messages, *self.tools))) + around


def prompt_tokens(request: ChatRequest) -> int:
    """Return an upper estimate of the tokens of a call's prompt, its prefill included."""
    return AgentRequest(request.messages, request.tools).most_tokens() + estimate_tokens(request.prefill)


def _most_tokens(part: dict[str, Any]) -> int:
    """Return an upper estimate of a message or a tool: its content as it is, the rest as JSON with its escapes."""
    content = part.get("content")
    words = content if isinstance(content, str) else ""
    rest = json.dumps({k: v for k, v in part.items() if v is not words}, ensure_ascii=False)
    media = sum(map(_media_tokens, _ENCODED.findall(rest)))
    rest = _ENCODED.sub('""', rest)
    return estimate_tokens(words) + estimate_tokens(rest) + rest.count("\\") + media


def _media_tokens(encoded: str) -> int:
    return _IMAGE_TOKENS if encoded.startswith('"data:image/') else max(_IMAGE_TOKENS, len(encoded) // _PER_TOKEN)


@dataclass(frozen=True)
class Question:
    """A last user turn and the first words of its one-line answer. ``max_tokens`` counts output tokens."""

    text: str
    opening: str
    max_tokens: int

    @classmethod
    def parse(cls, rendered: str, max_tokens: int) -> "Question":
        """Return the question of a rendered template, whose last line is the opening."""
        text, _, opening = rendered.strip().rpartition("\n")
        return cls(text.strip(), opening, max_tokens)

    def most_tokens(self) -> int:
        """Return an upper estimate of what it costs beyond the agent's request: question, opening and answer."""
        texts = estimate_tokens(self.text) + estimate_tokens(_BEGIN) + estimate_tokens(self.opening)
        return texts + 2 * _MESSAGE_TOKENS + self.max_tokens

    def put_to(
        self, model: ChatModel, request: AgentRequest, role: str, *, seed: int = 0, trial: int = 0
    ) -> ChatRequest:
        """Return the call: the agent's messages and tools as they are, one more user turn, and the opening.

        The opening is a prefill where the model's server continues one, else part of the question.
        """
        prefilled = continues_prefill(model)
        text = self.text if prefilled else f"{self.text}\n{_BEGIN}{self.opening}"
        return ChatRequest(
            messages=(*request.messages, {"role": "user", "content": text}),
            role=role,
            sampling=Sampling(max_tokens=self.max_tokens, stop=("\n",)),
            seed=seed,
            tools=request.tools,
            prefill=self.opening if prefilled else "",
            trial=trial,
        )

    def answer(self, reply: ChatReply) -> str:
        """Return the reply's words behind the opening, whether or not the model repeated it."""
        words = self._behind_opening(reply)
        return words.partition('"')[0].strip() if self.quotes else words

    def fault(self, reply: ChatReply) -> str | None:
        """Return why a reply is no answer: refused, or cut before the end of its line or quotation; None if it is."""
        return line_fault(reply, self._behind_opening(reply), '"' if self.quotes else "\n")

    def _behind_opening(self, reply: ChatReply) -> str:
        words = reply.words.strip()
        while words.lower().startswith(self.opening.lower()):
            words = words[len(self.opening) :].strip()
        return words

    @property
    def quotes(self) -> bool:
        """Return whether the opening opens a quotation, which is all of the answer that counts."""
        return self.opening.endswith('"')

    def note(self, said: str | None) -> str | None:
        """Return the opening with an answer, its quotation closed; None for none."""
        if said is None:
            return None
        return f'{self.opening}{said}"' if self.quotes else f"{self.opening} {said}"


def shown(reply: str) -> str:
    """Return a reply as a repair shows it to its model; an empty one in a word, since servers refuse empty messages."""
    return reply if reply.strip() else "(nothing)"


def line_fault(reply: ChatReply, words: str, end: str = "\n") -> str | None:
    """Return why a reply's ``words`` are no answer; None if they are one, or were cut behind the ``end`` of it."""
    if reply.end in (ReplyEnd.STOP, ReplyEnd.TOOL_CALLS) or (reply.end is ReplyEnd.LENGTH and end in words):
        return None
    return "the model refused to answer" if reply.end is ReplyEnd.REFUSAL else "the answer was cut"


def continues_prefill(model: ChatModel) -> bool:
    """Return whether a model's server goes on from a prefill; models that do not say so do."""
    return bool(getattr(model, "continues_prefill", True))
