"""Replay of the scripted user's reading of labelled replies, at the point of the conversation where each was said."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.understanding.labelled_replies import ReadReply, is_words
from fama.envs.helpdesk.benchmark import FIRST_VERSIONS
from fama.envs.helpdesk.tasks import build_task, generator_of
from fama.envs.helpdesk.user.recognition import Heard
from fama.envs.helpdesk.user.scripted_user import ScriptedUser
from fama.episodes.records import Episode
from fama.episodes.store import read_episodes
from fama.errors import BadInput


@dataclass(frozen=True)
class HeardReply:
    """A labelled reply, the user's understanding of it, and the slots that this user can be asked for."""

    reply: ReadReply
    task: str
    heard: Heard
    answerable: frozenset[str]


async def hear(replies: Sequence[ReadReply], data: Path) -> list[HeardReply]:
    """Return each reply as its user understood it; the user is played again from the episode up to the reply.

    Raises:
        BadInput: the episode is missing or of other tasks, or its words are not those of the labels.
    """
    by_file: dict[str, dict[str, list[ReadReply]]] = defaultdict(lambda: defaultdict(list))
    for reply in replies:
        by_file[reply.place.file][reply.place.episode].append(reply)
    heard: dict[ReadReply, HeardReply] = {}
    for file, wanted in by_file.items():
        for episode in read_episodes(data / file):
            for reply in wanted.pop(episode.id, ()):
                heard[reply] = await _hear(reply, episode)
        for missing in wanted.values():
            raise BadInput(f"{data / file}: no episode {missing[0].place.episode}; give the data that were labelled")
    return [heard[reply] for reply in replies]


async def _hear(reply: ReadReply, episode: Episode) -> HeardReply:
    if episode.benchmark_version != FIRST_VERSIONS.get(episode.domain):
        raise BadInput(f"{reply.place}: tasks of {episode.benchmark_version}, which cannot be built; label others")
    task = build_task(episode.domain, episode.task_id)
    user = ScriptedUser(generator_of(episode.domain).domain, task, episode.seeds["environment"])
    turn = (await user.opening()).text
    for message in episode.messages[: reply.place.message]:
        if is_words(message):
            turn = (await user.reply(message.content or "")).text
    said = [message for message in episode.messages[reply.place.message :][:1] if is_words(message)]
    if [reply.text] != [message.content for message in said] or turn != reply.user:
        raise BadInput(f"{reply.place}: other words than those that were labelled; label this reply anew")
    return HeardReply(reply, episode.task_id, user.hear(reply.text), frozenset(user.answerable()))
