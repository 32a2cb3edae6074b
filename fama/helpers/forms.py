"""The forms of a helper: deterministic (template), or written by a chat model (llm, separate)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fama.dialogue.pending import is_number
from fama.dialogue.tools import ToolView
from fama.dialogue.turns import noted_texts
from fama.dialogue.values import is_id, thing_of
from fama.episodes.state import VisibleState
from fama.errors import BadInput
from fama.helpers.base import Helper, HelperContext, HelperReply
from fama.helpers.llm_form import About, Gate, PrefixHelper, SeparateHelper
from fama.prompts import render
from fama.settings import Form
from fama.text.tokens import estimate_tokens


class Candidate(NamedTuple):
    """A note's text, and how often it may be given in an episode: once, or once per event that recurs."""

    text: str
    times: int = 1


#: Candidate notes of a state, best first.
Writer = Callable[[VisibleState], Iterable[Candidate]]

#: The question that a change waits for. The tool comes first and alone: in one clause with the question, a small
#: model makes the change (docs/lab-log.md).
ASK_YES = "Suggested next tool: respond. Ask for a yes to {tool}."

#: What the user has not said yet; as a question that may be put as it is, since told only what to ask, a small model
#: offers a value of its own.
ASK_FOR = 'Suggested next tool: respond, to ask "{question}?".'

#: What comes once the record that a question is about has been looked up.
ANSWER = "The user asked: {question}. Suggested next tool: respond, to tell what {tool} shows."


def ask_for(tool: ToolView, parameters: Iterable[str]) -> str:
    """Return the note that asks the user for values of a tool: ``Which user and how many desks?``."""
    schema = dict(tool.schema)
    asked = (
        f"{'how many' if is_number(schema[name]) and not is_id(name) else 'which'} {thing_of(name)}"
        for name in parameters
    )
    question = " and ".join(asked)
    return ASK_FOR.format(question=question[:1].upper() + question[1:])


@dataclass(eq=False)
class TemplateHelper:
    """A helper that computes its note: no model, no tokens. It never gives the same note twice for one event."""

    name: str
    covers: frozenset[str]
    token_cap: int
    write: Writer = field(repr=False)
    cost_cap: int = 0
    reads_notes: bool = True
    form: Form = "template"
    does: str = ""

    async def note(self, state: VisibleState, context: HelperContext) -> HelperReply:
        """Return the first candidate that fits the cap, unless this helper gave it before."""
        for text, times in self.write(state):
            if estimate_tokens(text) <= self.token_cap:
                return HelperReply(text if noted_texts(state, self.name).count(text) < times else None)
        return HelperReply(None)


def make(
    name: str,
    covers: Iterable[str],
    *,
    does: str,
    form: Form,
    write: Writer,
    token_cap: int,
    separate_cost_cap: int,
    gate: Gate,
    about: About,
    version: str = "v3",
    **values: object,
) -> Helper:
    """Return a helper in the asked form; ``does`` tells prompts of it in a line.

    The form ``llm`` uses the prompt ``questions/<name>.<version>`` where ``about`` returns values for it; ``separate``
    the prompt ``helpers/<name>.v1``, cut to ``separate_cost_cap``, where ``gate`` holds. ``values`` are the helper's
    own, for its prompt.
    """
    if form == "template":
        return TemplateHelper(name, frozenset(covers), token_cap, write, does=does)
    if form == "llm":
        prompt = f"questions/{name.lower()}.{version}"
        return PrefixHelper(name, frozenset(covers), token_cap, prompt, about, values, does=does)

    def own_prompt(seen: dict[str, object]) -> str:
        return render(f"helpers/{name.lower()}.v1", **seen, **values)

    return SeparateHelper(name, frozenset(covers), token_cap, separate_cost_cap, own_prompt, gate, does=does)


def refuse_options(name: str, options: Mapping[str, object]) -> None:
    """Refuse options that a helper does not have.

    Raises:
        BadInput: there is one.
    """
    if options:
        raise BadInput(f"helpers.options.{name}: no option {next(iter(options))!r}; remove it")
