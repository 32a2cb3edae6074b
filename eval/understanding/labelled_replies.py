"""Replies of the agent to the user, and what was read in them."""

from pathlib import Path
from typing import Literal

from fama.config import read_yaml_as
from fama.envs.helpdesk.task_records import Domain
from fama.envs.helpdesk.tasks import generator_of
from fama.episodes.records import Message, Record
from fama.errors import BadInput

AgentAct = Literal["proposal", "refusal", "report", "more", "wait", "stranger", "not_found"]
#: The name of all slots that prove who the user is.
IDENTITY = "identity"
NOT_FOUND: AgentAct = "not_found"
#: The committed episodes, and the file of labels beside them.
DATA = Path(__file__).resolve().parents[2] / "results" / "helpdesk"
LABELS = "replies-read.yaml"


class ReplyPlace(Record):
    """Location of a reply: a file below the data folder, the episode's id, the index of its message."""

    file: str
    episode: str
    message: int

    def __str__(self) -> str:
        """Return ``file: episode ID, message INDEX``."""
        return f"{self.file}: episode {self.episode}, message {self.message}"


class LabelledReply(Record):
    """Words of the agent to the user, and the user's turn before them."""

    place: ReplyPlace
    backbone: str
    domain: str
    user: str
    text: str


class ReadReply(LabelledReply):
    """A reply with its labels; the head of the file of labels says what each of them means."""

    asked: tuple[str, ...] = ()
    implied: tuple[str, ...] = ()
    acts: tuple[AgentAct, ...] = ()
    maybe: tuple[AgentAct, ...] = ()


class _Labels(Record):
    replies: tuple[ReadReply, ...]


def is_words(message: Message) -> bool:
    """Return whether a message is the agent's words to the user, without a tool call."""
    return message.role == "assistant" and not message.tool_calls and bool((message.content or "").strip())


def slots_named(domain: Domain, names: tuple[str, ...]) -> frozenset[str]:
    """Return the slots of labels; ``identity`` stands for all that prove who the user is."""
    return frozenset(slot for name in names for slot in (domain.identity if name == IDENTITY else (name,)))


def read_reply_labels(path: Path) -> tuple[ReadReply, ...]:
    """Return the replies of a file of labels.

    Raises:
        BadInput: it cannot be read, a field or an act is none, or a slot is none of the domain's.
    """
    replies = read_yaml_as(path, _Labels, "labels", "fix it there", "results/helpdesk/replies-read.yaml").replies
    for reply in replies:
        domain = generator_of(reply.domain).domain
        for slot in (*reply.asked, *reply.implied):
            if slot != IDENTITY and slot not in domain.asks:
                known = ", ".join((IDENTITY, *domain.asks))
                raise BadInput(f"{path}: {reply.place}: {reply.domain} has no slot {slot!r}; known: {known}")
    return replies
