"""A judge's labels of read failures, and how far they agree with the readings."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.readings.annotator_agreement import measure_agreement, of_failure
from eval.readings.measured import LabellerScores, judge_prompts
from eval.readings.reader_answers import Reading
from eval.readings.readings import ReadingsPart
from fama.diagnosis.diagnose import diagnose
from fama.diagnosis.judge_model import connect_judge, stated_sampling
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode, Failure
from fama.episodes.store import EpisodeStore, read_failures
from fama.errors import BadInput
from fama.files import write_atomically
from fama.provenance import git_commit
from fama.randomness import generator
from fama.settings import ModelSettings

#: What the labels of a folder rest on.
HOW = "judging.json"


@dataclass(frozen=True)
class Judging:
    """Settings of a judge, as in ``fama diagnose``. ``first`` failures in an order drawn by seed, all when None."""

    model: ModelSettings
    context_tokens: int
    use_evidence: bool = True
    concurrency: int = 1
    first: int | None = None


async def measure_judge(
    half: ReadingsPart,
    episodes: Mapping[str, Episode],
    readings: Mapping[str, Reading],
    tasks: Mapping[str, str],
    out: Path,
    judging: Judging,
) -> LabellerScores:
    """Let a judge label the read failures into ``out`` and compare; run again, it goes on where it stopped.

    The folder gets dialogues and words of them: keep it outside the repository.

    Raises:
        BadInput: the folder holds other episodes, or labels of another judge, of other prompts, another context or
            sampling.
        ModelError: the judge did not answer for any failure.
    """
    order = sorted(readings)
    generator(0, "failures to judge").shuffle(order)
    chosen = order[: judging.first]
    out.mkdir(parents=True, exist_ok=True)
    store = EpisodeStore(out)
    if others := store.ids() - tasks.keys():
        raise BadInput(f"{out}: holds other episodes ({sorted(others)[0]}); give another folder with --out")
    _keep_how(out, judging)
    store.rewrite(episodes[one] for one in chosen)
    taxonomy = load_taxonomy()
    async with connect_judge(judging.model) as model:
        with tqdm(total=len(chosen), unit="failure", file=sys.stderr) as bar:

            def step(episode: Episode, label: Failure | None) -> None:
                bar.update(1)

            summary = await diagnose(
                out,
                out,
                model,
                taxonomy=taxonomy,
                use_evidence=judging.use_evidence,
                context_tokens=judging.context_tokens,
                concurrency=judging.concurrency,
                progress=step,
            )
    if summary.judge_errors:
        sys.stderr.write(f"{len(summary.judge_errors)} left, the judge did not answer; run the command again\n")
    named = {label.episode_id: of_failure(label) for label in read_failures(out) if label.episode_id in chosen}
    return LabellerScores(
        half=half,
        row=measure_agreement(summary.labeller, readings, named, tasks),
        taxonomy=taxonomy.version,
        prompts=judge_prompts(),
        context_tokens=judging.context_tokens,
        sampling=stated_sampling(judging.model),
        commit=git_commit(),
    )


def _keep_how(out: Path, judging: Judging) -> None:
    """Write what labels of the folder rest on besides the judge, and refuse to go on with another.

    Raises:
        BadInput: names what differs.
    """
    path, how = out / HOW, {"context_tokens": judging.context_tokens, "prompts": judge_prompts()}
    how |= stated_sampling(judging.model)
    if path.exists():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise BadInput(f"{path}: cannot be read; give another folder with --out") from None
        for key, value in how.items():
            if before.get(key) != value:
                raise BadInput(
                    f"{out}: {key} was {before.get(key)} and is now {value}; set it back or give another folder with "
                    "--out"
                )
    write_atomically(path, json.dumps(how) + "\n")
