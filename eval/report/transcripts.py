"""Episodes as the report's page shows them: turns, tool calls, notes, rejected notes, tokens by role."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from eval.compare.schema import Comparison
from eval.metrics.formats import plain_number
from fama.episodes.records import Decision, Episode, known_total
from fama.episodes.store import EPISODES, read_episodes

#: characters of transcripts that a page holds; browsers open that in a second or two
PAGE_LIMIT = 30_000_000


def find_episodes(folder: Path, comparison: Comparison) -> Path | None:
    """Return the episodes behind a comparison: in its own folder, or beside the table that was replayed."""
    places = [folder]
    replayed = comparison.config.get("replay")
    if isinstance(replayed, str):
        places.append(Path(replayed).parent)
    for place in places:
        for name in (EPISODES, f"{EPISODES}.gz"):
            if (place / name).is_file():
                return place / name
    return None


def transcripts(path: Path, wanted: Collection[str], limit: int = PAGE_LIMIT) -> dict[str, dict[str, Any]]:
    """Return transcripts of the wanted episodes by id, until the page is full.

    Raises:
        BadInput: the file has a damaged line.
    """
    kept: dict[str, dict[str, Any]] = {}
    size = 0
    for episode in read_episodes(path):
        if episode.id in wanted and episode.id not in kept:
            shown = transcript(episode)
            size += len(json.dumps(shown))
            if size > limit:
                break
            kept[episode.id] = shown
    return kept


def transcript(episode: Episode) -> dict[str, Any]:
    """Return one episode, without the policy and the tools' schemas."""
    tokens: dict[str, int | None] = {}
    for row in episode.ledger:
        tokens[row.role] = known_total((tokens.get(row.role, 0), row.total_tokens))
    decisions = {decision.message_index: decision for decision in episode.decisions}
    before = {d.turn: prior for prior, d in zip((None, *episode.decisions), episode.decisions, strict=False)}
    turns = []
    for index, message in enumerate(episode.messages):
        if index in decisions:
            turns += _notes(decisions[index], before[decisions[index].turn])
        if message.role == "system":
            continue
        calls = [{"name": c.function.name, "arguments": c.function.arguments} for c in message.tool_calls or ()]
        turns.append({"role": message.role, "name": message.name, "text": message.content or "", "calls": calls})
    late = [d for d in episode.decisions if d.message_index >= len(episode.messages)]
    turns += [note for decision in late for note in _notes(decision, before[decision.turn])]
    return {
        "task": episode.task_id,
        "trial": episode.trial,
        "arm": episode.selector,
        "status": episode.outcome.status,
        "boundary": episode.outcome.boundary,
        "reason": episode.outcome.reason,
        "reward": episode.reward_detail,
        "seconds": episode.seconds,
        "tokens": {role: plain_number(count) for role, count in tokens.items()},
        "decisions": len(episode.decisions),
        "turns": turns,
    }


#: Why the selector did not choose the subset of a decision.
_NOT_CHOSEN = {
    "unparsed": ", since the selector's reply could not be read",
    "unaffordable": ", since the budget had no room to ask the selector",
}


def _notes(decision: Decision, before: Decision | None) -> list[dict[str, Any]]:
    """Return the notes before a decision; the subset is named at the first decision and wherever it changes."""
    turns: list[dict[str, Any]] = []
    if before is None or (before.subset, before.dropped) != (decision.subset, decision.dropped):
        why = _NOT_CHOSEN.get(decision.selection or "", "")
        text = " + ".join(decision.subset) or "no helper"
        turns.append({"role": "selection", "text": f"{text}{why}", "dropped": decision.dropped})
    turns += [{"role": "note", "name": note.helper, "text": note.text} for note in decision.notes]
    turns += [{"role": "rejected", "name": n.helper, "text": n.text, "reason": n.reason} for n in decision.rejected]
    return turns


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a ``<script>`` element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
