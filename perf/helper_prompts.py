"""Measure what notes of helper agents cost a server: asked at the end of the agent's request, or with own prompts.

    python perf/helper_prompts.py

Logged training episodes are gone through decision by decision, as a run at cadence ``turn`` with all six helpers and
the prompted selector would: the selector is asked, then each helper, then the agent (its answer is cut short, since
the episode is logged). Once with questions at the end of the agent's request (form ``llm``, selector ``on_prefix``),
once with separate prompts (forms ``separate`` and ``one_call``). Each of the two opens the policy with a word of its
own, so that neither finds the cache of the other. In process both are measured on two servers: one that keeps prompts
that left its slot in memory, as the project's own does, and one that holds its slot's last prompt only, as a server
does whose memory is taken by other conversations. Nothing else should use the machine meanwhile; counts of tokens do
not depend on that.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from fama.agents.agent_request import requester
from fama.agents.injection import collect_notes
from fama.agents.strategies.base import STRATEGIES
from fama.episodes.records import Episode, LedgerRow, Note, role_group
from fama.episodes.state import state_at
from fama.episodes.store import read_episodes
from fama.helpers.pool import build_pool
from fama.models.base import ChatModel, ChatRequest, Sampling
from fama.models.connect import connect
from fama.models.servers.llama_cpp import PROMPT_CACHE_MIB, ServerSpec, serve
from fama.models.weights.storage import resolve
from fama.randomness import generator
from fama.selection.base import Allowance, SelectorContext
from fama.selection.selectors.prompted import build
from fama.settings import ExperimentSettings, Form, HelperSettings, ModelSettings
from perf.record import ROOT, add_model, parser, save

EPISODES = ROOT / "results" / "helpdesk" / "plain-train.episodes.jsonl.gz"


class PromptVariant(NamedTuple):
    """A way to ask: the helpers' form and the prompted selector's."""

    form: Form
    selector: str


VARIANTS = (PromptVariant("llm", "on_prefix"), PromptVariant("separate", "one_call"))
_AGENT_TOKENS = 4


async def measure(model: ChatModel, episodes: Sequence[Episode], settings: ExperimentSettings) -> list[dict[str, Any]]:
    """Return a row per variant and role with calls, tokens and seconds, then the ratio of new tokens."""
    rows: list[dict[str, Any]] = []
    new: dict[str, int] = {}
    for variant in VARIANTS:
        ledger: list[LedgerRow] = []
        notes = 0
        for episode in episodes:
            notes += await _ask(model, episode, settings, variant, ledger)
        groups: dict[str, list[LedgerRow]] = defaultdict(list)
        for row in ledger:
            groups[role_group(row.role)].append(row)
        asked = {"helper": variant.form, "selector": variant.selector}
        rows += [_row(f"{role}, {asked[role]}", groups[role]) for role in ("helper", "selector")]
        rows[-2]["notes kept"] = notes
        rows += [_row(f"agent beside {variant.form}", groups["agent"]), _row(f"all, {variant.form}", ledger)]
        new[variant.form] = rows[-1]["new tokens"]
        helpers = f"{variant.form} of helpers"
        new[helpers] = rows[-4]["new tokens"]
    rows += [
        {"what": "new tokens of helpers, separate over llm", "ratio": _ratio(new, " of helpers")},
        {"what": "new tokens of an episode, separate over llm", "ratio": _ratio(new, "")},
    ]
    return rows


async def _ask(
    model: ChatModel, episode: Episode, settings: ExperimentSettings, variant: PromptVariant, ledger: list[LedgerRow]
) -> int:
    """Ask selector, helpers and agent before each decision of an episode; return how many notes passed."""
    request = requester(settings)
    strategy = STRATEGIES.load(settings.strategy)()
    helpers = build_pool(HelperSettings(form=variant.form))
    selector = build(SelectorContext(helpers, model, request=request), form=variant.selector, repairs=0)
    noted: list[tuple[int, Note]] = []
    for turn in range(len(episode.decisions)):
        logged = state_at(episode, turn)
        state = replace(logged, policy=f"[{variant.form}] {logged.policy}", noted=tuple(noted))
        ledger += (await selector.select(state, Allowance(), generator(0, "selector"))).ledger  # type: ignore[union-attr]
        own = request(state)
        notes = await collect_notes(state, tuple(helpers), helpers, model, 0, ledger, request=own)
        noted += [(turn, note) for note in notes.passed]
        prefill = strategy.prompt(state.messages, state.policy, state.tools, (), notes.text).prefill
        sampling = Sampling(max_tokens=_AGENT_TOKENS)
        asked = ChatRequest(own.messages, "agent", sampling, tools=own.tools, prefill=prefill)
        ledger.append((await model.complete(asked)).usage)
        new = sum((row.input_tokens or 0) - (row.cached_input_tokens or 0) for row in ledger)
        print(f"{variant.form} {episode.task_id} {turn}: {len(ledger)} calls, {new} new, {notes.text}", file=sys.stderr)
    return len(noted)


def _row(what: str, usage: Sequence[LedgerRow]) -> dict[str, Any]:
    spent = sum(row.input_tokens or 0 for row in usage)
    new = spent - sum(row.cached_input_tokens or 0 for row in usage)
    seconds = sum(row.seconds for row in usage)
    return {
        "what": what,
        "calls": len(usage),
        "input tokens": spent,
        "new tokens": new,
        "new tokens per call": round(new / len(usage), 1) if usage else None,
        "output tokens": sum(row.output_tokens or 0 for row in usage),
        "seconds per call": round(seconds / len(usage), 2) if usage else None,
        "seconds": round(seconds, 1),
    }


def _ratio(new: dict[str, int], ending: str) -> float | None:
    whole = new[f"llm{ending}"]
    return round(new[f"separate{ending}"] / whole, 2) if whole else None


async def _measured(episodes: Sequence[Episode], settings: ExperimentSettings) -> list[dict[str, Any]]:
    async with connect(settings.model) as model:
        return await measure(model, episodes, settings)


@contextmanager
def endpoint_of(wanted: argparse.Namespace, memory: int | None) -> Iterator[str]:
    """Yield the given endpoint, or one in this process with so many MiB for prompts that left its slot."""
    if memory is None:
        yield wanted.url
        return
    spec = ServerSpec(resolve(wanted.model), threads=wanted.threads, prompt_cache_mib=memory)
    with serve(spec, api_key="") as endpoint:
        yield endpoint.base_url


def main() -> int:
    """Ask, write."""
    args = parser(__doc__)
    add_model(args)
    args.add_argument("--episodes", type=Path, default=EPISODES, help="logged episodes (default: %(default)s)")
    args.add_argument("--tasks", nargs="+", default=["shop-train-0004", "shop-train-0015"], help="tasks of these")
    wanted = args.parse_args()
    chosen = [episode for episode in read_episodes(wanted.episodes) if episode.task_id in wanted.tasks]
    if not chosen:
        raise SystemExit(f"{wanted.episodes}: has none of the tasks {', '.join(wanted.tasks)}; name others by --tasks")
    rows: list[dict[str, Any]] = []
    for memory in (None,) if wanted.url else (PROMPT_CACHE_MIB, 0):
        with endpoint_of(wanted, memory) as url:
            model = ModelSettings(name=wanted.model, base_url=url)
            found = asyncio.run(_measured(chosen, ExperimentSettings(model=model, split="train")))
        rows += [{**row, "what": row["what"] + ("; last prompt only" if memory == 0 else "")} for row in found]
    decisions = sum(len(episode.decisions) for episode in chosen)
    tasks = ", ".join(episode.task_id for episode in chosen)
    note = f"{wanted.model}, {len(chosen)} logged training episodes ({tasks}), {decisions} decisions"
    save("helper_prompts", rows, ("openai", "xllamacpp"), wanted.out, note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
