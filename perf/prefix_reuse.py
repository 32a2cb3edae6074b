"""Measure a server's prefix cache by the placement of the helpers' notes, and for four analysts on one prefix.

    python perf/prefix_reuse.py

Logged episodes are asked again, decision by decision, with the words that were said then: once with each note at the
end of the prompt and not kept, as the project does it; once with it at the start, in the system message; once with all
earlier notes kept in the history. Then one failure goes to the four analysts, with one prefix for all and with four
prompts that differ from their first word. Replies are cut short: reading the prompt is what is measured. Each variant
opens with a word of its own, so that none finds the cache of another. Nothing else should use the server meanwhile.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from fama.agents.strategies.base import STRATEGIES, Prompt
from fama.diagnosis.analysts import prompts
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode, LedgerRow
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.models.base import ChatModel, ChatRequest, Sampling
from fama.models.connect import connect
from fama.settings import ModelSettings
from perf.record import ROOT, add_model, parser, save

EPISODES = ROOT / "results" / "helpdesk" / "lattice-test.episodes.jsonl.gz"
#: A prompt from an episode, one of its decisions, and the variant's own word.
PromptLayout = Callable[[Episode, int, str], Prompt]


def put_last(episode: Episode, turn: int, word: str) -> Prompt:
    """Return the note at the end, not kept."""
    return _prompt(episode, turn, word, _note(episode, turn))


def put_first(episode: Episode, turn: int, word: str) -> Prompt:
    """Return the note at the start of the system message."""
    return _prompt(episode, turn, f"{word} {_note(episode, turn)}", "")


def keep_all(episode: Episode, turn: int, word: str) -> Prompt:
    """Return the note at the end, and every earlier one still before the action that it led to."""
    prompt = put_last(episode, turn, word)
    notes = iter([_note(episode, earlier) for earlier in range(turn)])
    chat = []
    for message in prompt.messages:
        note = next(notes, "") if message["role"] == "assistant" else ""
        chat.append({**message, "content": f"Note: {note}\n{message['content']}"} if note else message)
    return Prompt(tuple(chat), prompt.prefill, prompt.tools, prompt.stop, prompt.note_prefix)


VARIANTS: dict[str, PromptLayout] = {
    "notes last": put_last,
    "notes first": put_first,
    "notes kept in the history": keep_all,
}


async def measure(model: ChatModel, episodes: Sequence[Episode], failure: Episode, tokens: int) -> list[dict[str, Any]]:
    """Return a row per variant: calls, tokens, share of the input that was cached, seconds."""
    rows = []
    for number, (name, variant) in enumerate(VARIANTS.items()):
        asked = (
            _request(variant(episode, decision.turn, f"[run {number}]"), tokens)
            for episode in episodes
            for decision in episode.decisions
        )
        rows.append(_row(name, await _ask(model, asked)))
    taxonomy = load_taxonomy()
    questions = prompts(failure, taxonomy.categories, None, 6000)
    for name, apart in (("four analysts on one prefix", False), ("four analysts, four prompts", True)):
        asked = (
            _request(Prompt(_opened(messages, f"[{name} {code if apart else ''}]")), tokens)
            for code, messages in zip(taxonomy.codes, questions, strict=True)
        )
        rows.append(_row(name, await _ask(model, asked)))
    return rows


def _prompt(episode: Episode, turn: int, word: str, note: str) -> Prompt:
    state = state_at(episode, turn)
    strategy = STRATEGIES.load(episode.strategy or "act")()
    prompt = strategy.prompt(state.messages, state.policy, state.tools, (), note)
    chat = _opened(prompt.messages, word)
    return Prompt(chat, prompt.prefill, prompt.tools, prompt.stop, prompt.note_prefix)


def _opened(messages: Sequence[dict[str, Any]], word: str) -> tuple[dict[str, Any], ...]:
    """Return the messages with a word before the first of them."""
    return ({**messages[0], "content": f"{word} {messages[0]['content']}"}, *messages[1:])


def _note(episode: Episode, turn: int) -> str:
    return " ".join(note.text for note in episode.decisions[turn].notes)


def _request(prompt: Prompt, tokens: int) -> ChatRequest:
    sampling = Sampling(max_tokens=tokens, stop=prompt.stop)
    return ChatRequest(prompt.messages, "agent", sampling, tools=prompt.tools, prefill=prompt.prefill)


async def _ask(model: ChatModel, requests: Iterable[ChatRequest]) -> list[LedgerRow]:
    """Ask one after the other, as one episode does."""
    return [(await model.complete(request)).usage for request in requests]


def _row(what: str, usage: Sequence[LedgerRow]) -> dict[str, Any]:
    spent = sum(row.input_tokens or 0 for row in usage)
    cached = sum(row.cached_input_tokens or 0 for row in usage)
    return {
        "what": what,
        "calls": len(usage),
        "input tokens": spent,
        "cached share": round(cached / spent, 3) if spent else None,
        "tokens read anew": spent - cached,
        "seconds": round(sum(row.seconds for row in usage), 2),
    }


def _with_notes(path: Path, count: int) -> list[Episode]:
    """Return the first episodes of four decisions or more that have a note before at least half of them."""

    def fits(episode: Episode) -> bool:
        noted = sum(bool(decision.notes) for decision in episode.decisions)
        return len(episode.decisions) >= 4 and 2 * noted >= len(episode.decisions)

    found = list(islice(filter(fits, read_episodes(path)), count))
    if not found:
        raise SystemExit(f"{path}: no episode with enough notes; give one of a run whose selector chose helpers")
    return found


def main() -> int:
    """Ask, write."""
    args = parser(__doc__)
    add_model(args)
    args.add_argument("--episodes", type=Path, default=EPISODES, help="episodes with notes (default: %(default)s)")
    args.add_argument("--count", type=int, default=1, help="episodes to ask again")
    args.add_argument("--tokens", type=int, default=4, help="output tokens per call")
    wanted = args.parse_args()
    chosen = _with_notes(wanted.episodes, wanted.count)
    longest = max(read_episodes(wanted.episodes), key=lambda e: len(e.messages))

    settings = ModelSettings(name=wanted.model, base_url=wanted.url, threads=wanted.threads)

    async def ask() -> list[dict[str, Any]]:
        async with connect(settings) as model:
            return await measure(model, chosen, longest, wanted.tokens)

    rows = asyncio.run(ask())
    where = "in process" if wanted.url is None else "at an OpenAI-compatible endpoint"
    note = f"{wanted.model} {where}, {len(chosen)} logged episodes asked again"
    save("prefix_reuse", rows, ("openai", "xllamacpp"), wanted.out, note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
