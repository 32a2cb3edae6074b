"""The draw of failures to read: random, by strata, the halves split by customer."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.readings.members import HALVES, Half, Member, ReadingSet, Stratum
from fama.episodes.foreign.file_identity import LogFile
from fama.episodes.importers.base import IMPORTERS, LABEL_READERS, detect_format
from fama.episodes.importers.import_cleaning import dialogue_hash
from fama.episodes.intake import Intake
from fama.episodes.keys import TaskKey
from fama.episodes.records import Episode
from fama.episodes.store import EpisodeStore
from fama.errors import BadInput
from fama.randomness import generator

#: The draw that is committed.
SEED, PER_TASK = 0, 2
#: Retail, the longest logs, gets three tenths of the set; every backbone and strategy of the airline about as much as
#: any other (gpt-4o more: it fails in more ways; llama less: most of its failures are one and the same hand-over).
STRATA = (
    Stratum(benchmark="tau-bench", domain="retail", backbone="qwen3-4b-instruct", strategy="fc", size=36),
    Stratum(benchmark="tau-bench", domain="airline", backbone="gpt-4o", strategy="fc", size=12),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b-instruct", strategy="fc", size=8),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="fc", size=8),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="act", size=8),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="react", size=8),
    Stratum(benchmark="tau-bench", domain="airline", backbone="llama-3.1-8b", strategy="fc", size=6),
    Stratum(benchmark="tau2", domain="airline", backbone="ollama_chat/qwen2.5:7b", strategy="fc", size=10),
    Stratum(benchmark="tau-trait", domain="telehealth", backbone="gpt-5", strategy="fc", size=16),
    Stratum(benchmark="tau-trait", domain="telecom", backbone="gpt-5", strategy="fc", size=8),
)
#: A further draw from the customers of the tuning half, to fit on.
MORE_SEED = 1
MORE = (
    Stratum(benchmark="tau-bench", domain="retail", backbone="qwen3-4b-instruct", strategy="fc", size=44),
    Stratum(benchmark="tau-bench", domain="airline", backbone="gpt-4o", strategy="fc", size=10),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b-instruct", strategy="fc", size=10),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="fc", size=8),
    Stratum(benchmark="tau2", domain="airline", backbone="ollama_chat/qwen2.5:7b", strategy="fc", size=4),
    Stratum(benchmark="tau-trait", domain="telehealth", backbone="gpt-5", strategy="fc", size=8),
)
#: A second test, from the customers of the test half, since a test half is used once.
AGAIN_SEED = 2
AGAIN = (
    Stratum(benchmark="tau-bench", domain="retail", backbone="qwen3-4b-instruct", strategy="fc", size=18),
    Stratum(benchmark="tau-bench", domain="airline", backbone="gpt-4o", strategy="fc", size=6),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b-instruct", strategy="fc", size=4),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="fc", size=4),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="act", size=4),
    Stratum(benchmark="tau-bench", domain="airline", backbone="qwen3-4b", strategy="react", size=4),
    Stratum(benchmark="tau-bench", domain="airline", backbone="llama-3.1-8b", strategy="fc", size=4),
    Stratum(benchmark="tau2", domain="airline", backbone="ollama_chat/qwen2.5:7b", strategy="fc", size=4),
    Stratum(benchmark="tau-trait", domain="telehealth", backbone="gpt-5", strategy="fc", size=8),
    Stratum(benchmark="tau-trait", domain="telecom", backbone="gpt-5", strategy="fc", size=4),
)
_CUSTOMER = re.compile(r"(?<![a-z0-9_])[a-z]+_[a-z]+_\d{4}(?!\d)")


def read_logs(folder: Path) -> list[Episode]:
    """Return the episodes of all logs below a folder, with the ids and trials that ``fama import`` gives them.

    The user simulator's leaked thoughts are cut. Files that hold labels and no dialogue are passed over.

    Raises:
        BadInput: there is no log, or one cannot be read.
    """
    files = sorted(path for path in folder.rglob("*.gz") if path.is_file())
    if not files:
        raise BadInput(f"{folder}: holds no .gz file; give the folder of the logs")
    with tempfile.TemporaryDirectory() as place:
        intake = Intake(EpisodeStore(Path(place)), strip=True)
        for path in files:
            if (name := detect_format(path)) not in LABEL_READERS.names():
                intake.add(LogFile.of(path, folder), IMPORTERS.load(name)(path))
        return list(intake.store.read())


def draw_failures(
    episodes: Iterable[Episode],
    strata: Sequence[Stratum] = STRATA,
    seed: int = SEED,
    beside: ReadingSet | None = None,
    half: Half = "tuning",
) -> ReadingSet:
    """Draw each stratum's failures at random, as many for tuning as for the test, or beside a set all for ``half``.

    What is drawn beside a set is of the customers of that half of it, and none of its members.

    Both halves have different customers, also where two benchmarks share a task under different numbers. At most
    ``PER_TASK`` failures of a task are drawn, and no dialogue twice. Errors are no failures. The smallest choice draws
    first, so that it is not left without tasks.

    Raises:
        BadInput: a stratum has too few failures.
    """
    failures = sorted((e for e in episodes if e.outcome.status == "failure"), key=lambda e: e.id)
    before = {} if beside is None else beside.by_id
    halves = _halves(failures, seed if beside is None else beside.seed)
    limit = PER_TASK if beside is None else 2 * PER_TASK  # both draws together
    wanted: Sequence[Half] = HALVES if beside is None else (half,)
    choices = [
        (half, stratum, [e for e in failures if _is_of(e, stratum) and halves[e.key.task] == half])
        for stratum in strata
        for half in wanted
    ]
    drawn: dict[tuple[Half, Stratum], list[Episode]] = {}
    taken: Counter[TaskKey] = Counter(member.task_key for member in before.values())
    dialogues = {dialogue_hash(episode) for episode in failures if episode.id in before}
    for half, stratum, choice in sorted(choices, key=lambda c: len(c[2]) - c[1].size):
        size = stratum.size // len(wanted)
        name = "/".join(str(value) for value in stratum.model_dump(exclude={"size"}).values())
        generator(seed, "readings", half, name).shuffle(choice)
        own: list[Episode] = []
        for episode in choice:
            digest = dialogue_hash(episode)
            if len(own) < size and taken[episode.key.task] < limit and digest not in dialogues:
                own.append(episode)
                taken[episode.key.task] += 1
                dialogues.add(digest)
        if len(own) < size:
            raise BadInput(f"{name}: {len(own)} failures for {half}, {size} wanted; give all the logs")
        drawn[half, stratum] = own
    members = [_member(episode, half) for stratum in strata for half in wanted for episode in drawn[half, stratum]]
    return ReadingSet(seed=seed, strata=tuple(strata), members=tuple(members))


def customer(episode: Episode) -> str:
    """Return whom a task is about: the customer that the instruction or a reference action names, else the task."""
    texts = (episode.instruction or "", *(action.arguments for action in episode.gold_actions or ()))
    found = next((match[0] for text in texts if (match := _CUSTOMER.search(text))), None)
    return str(episode.key.task) if found is None else f"{episode.domain}/{found}"


def _halves(failures: Sequence[Episode], seed: int) -> dict[TaskKey, Half]:
    """Return each task's half: domain by domain, customers in random order go to the half with fewer tasks."""
    groups: dict[str, dict[str, set[TaskKey]]] = {}
    for episode in failures:
        tasks = groups.setdefault(episode.domain, {}).setdefault(customer(episode), set())
        tasks.add(episode.key.task)
    found: dict[TaskKey, Half] = {}
    for domain, customers in groups.items():
        order = sorted(customers)
        generator(seed, "readings-halves", domain).shuffle(order)
        sizes: Counter[Half] = Counter()
        for one in order:
            half = min(HALVES, key=lambda h: sizes[h])
            sizes[half] += len(customers[one])
            found.update(dict.fromkeys(customers[one], half))
    return found


def _is_of(episode: Episode, stratum: Stratum) -> bool:
    return all(getattr(episode, name) == value for name, value in stratum.model_dump(exclude={"size"}).items())


def _member(episode: Episode, half: Half) -> Member:
    return Member(
        id=episode.id,
        file=episode.source.file or "",
        task=episode.task_id,
        trial=episode.trial,
        benchmark=episode.benchmark,
        domain=episode.domain,
        backbone=episode.backbone or "",
        strategy=episode.strategy or "",
        half=half,
    )
