"""Functions for notebooks and scripts: what the commands ``score``, ``import`` and ``diagnose`` read, as lists."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fama.advising.arguments import model_settings
from fama.diagnosis.diagnose import diagnose as diagnose_folder
from fama.diagnosis.judge_model import connect_judge
from fama.diagnosis.taxonomy import load_taxonomy
from fama.envs.material import attachment
from fama.episodes.intake import Intake
from fama.episodes.log_import import AUTO, LogImport, check_format, log_files
from fama.episodes.records import Episode, Failure
from fama.episodes.store import EpisodeStore, read_episodes, read_failures
from fama.errors import BadInput
from fama.execution.background import LoopThread
from fama.settings import ModelSettings

log = logging.getLogger(__name__)
Place = str | PathLike[str]


def load_episodes(path: Place) -> list[Episode]:
    """Return the episodes of a folder or of a ``.jsonl`` or ``.jsonl.gz`` file.

    Raises:
        BadInput: nothing is there, a line is damaged (``file:line``), or it is a log of another tool.
    """
    return list(read_episodes(Path(path)))


def import_logs(
    path: Place | Sequence[Place],
    format: str | None = None,
    *,
    benchmark: str | None = None,
    domain: str | None = None,
    backbone: str | None = None,
    strategy: str | None = None,
    tools: Place | None = None,
    policy: Place | None = None,
    roles: Place | None = None,
    strip_user_thinking: bool = False,
) -> list[Episode]:
    """Return the episodes of other tools' logs, as ``fama import`` writes them.

    What the command says of a log that was not read whole, or that may be counted otherwise than it is meant, is
    logged as a warning. Labels in a log are left out.

    Args:
        path: files, folders or patterns.
        format: an importer's name; found out file by file when None.
        benchmark: where a chat record (openai, sharegpt, a trace) does not say it, in place of what other logs say;
            so are ``domain``, ``backbone`` and ``strategy``.
        domain: see ``benchmark``.
        backbone: see ``benchmark``.
        strategy: see ``benchmark``.
        tools: file of the agent's tools for episodes without; the word ``benchmark`` for the benchmark's own.
        policy: file of the agent's policy for episodes without, or that word.
        roles: YAML file of what tools do where their names mislead, ``tool: role`` each.
        strip_user_thinking: cut the user simulator's leaked thoughts.

    Raises:
        BadInput: a file cannot be read; the message names all that cannot.
    """
    check_format(format or AUTO)
    filled = {"benchmark": benchmark, "domain": domain, "backbone": backbone, "strategy": strategy}
    options = {key: value for key, value in filled.items() if value}
    attach = attachment(*(None if file is None else fspath(file) for file in (tools, policy, roles)))
    places = [path] if isinstance(path, str | PathLike) else list(path)
    files, base = log_files([fspath(place) for place in places])
    with TemporaryDirectory() as folder:
        store = EpisodeStore(Path(folder))
        intake = Intake(store, strip_user_thinking)
        importing = LogImport(intake, attach, format or AUTO, options)
        for file in files:
            before = intake.doubts
            if (told := importing.add(file, base)) is not None:
                log.log(logging.WARNING if intake.doubts > before else logging.INFO, "%s", told)
        for remark in importing.remarks(str, "and import again"):
            log.warning("%s", remark)
        if importing.labels:
            log.warning("%d labels of failures are left out; `fama import` writes them", len(importing.labels))
        importing.check(len(files))
        return list(store.read())


def diagnose(
    episodes: Place | Iterable[Episode],
    *,
    judge: ModelSettings | Mapping[str, Any] | str | None = None,
    concurrency: int = 1,
    taxonomy: Place | None = None,
) -> list[Failure]:
    """Return the labels of the failed episodes, as ``fama diagnose`` writes them.

    ``causes`` of a label are its primary categories, or ``unexplained`` where no detector found any and ``primary`` is
    a guess.

    Args:
        episodes: records, or the place of stored ones.
        judge: settings of the model that judges, their keys, or a name of them; the detectors alone when None. Its
            ``temperature``, ``top_p`` and ``max_tokens`` hold for every question where they are given.
        concurrency: episodes that are judged at once.
        taxonomy: YAML file of a taxonomy of one's own; the shipped one when None.

    Raises:
        BadInput: no readable episodes, the taxonomy is wrong, or the judge is unknown or has settings that do not fit.
        FamaError: the judge cannot be reached, or answered for no failure.
    """
    settings = model_settings(judge)
    if not isinstance(settings, ModelSettings | None):
        raise BadInput(f"judge: a {type(judge).__name__}; give a name or settings of a model")
    categories = load_taxonomy(None if taxonomy is None else Path(taxonomy))
    with TemporaryDirectory() as folder:
        if isinstance(episodes, str | PathLike):
            place = Path(episodes)
        else:
            place = Path(folder) / "episodes"
            EpisodeStore(place).rewrite(episodes)
        out = Path(folder) / "failures"

        async def label() -> None:
            async with connect_judge(settings) as model:
                summary = await diagnose_folder(place, out, model, taxonomy=categories, concurrency=concurrency)
            for skipped in summary.judge_errors:
                log.warning("episode %s has no label: %s", skipped.episode_id, skipped.reason)
            if summary.calls and 2 * summary.unparsed >= summary.calls:
                log.warning("most answers cannot be read; a judge that thinks first needs more max_tokens")
            if model is None and summary.without_reference:
                told = "%d failures have no reference actions: give a judge; detectors alone find little there"
                log.warning(told, summary.without_reference)

        thread = LoopThread("the diagnosis")  # a notebook has an event loop of its own
        try:
            thread.wait(label())
        finally:
            thread.close()
        return read_failures(out)
