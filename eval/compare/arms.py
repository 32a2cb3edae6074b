"""Arms of a comparison: which may stand beside each other, in what order they run, what they depend on."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fama.agents.agent_request import requester
from fama.agents.runs.plan import Planned
from fama.agents.runs.stage import build_selector
from fama.episodes.keys import TaskKey
from fama.episodes.records import Failure
from fama.episodes.store import EpisodeStore, read_failures
from fama.errors import BadInput
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.helpers.base import Helper
from fama.models.base import ChatModel
from fama.selection.base import SELECTORS, AnySelector, SelectorContext
from fama.selection.router.checkpoint import read_manifest
from fama.selection.router.checkpoint_files import MANIFEST
from fama.selection.router.manifest import TOLD
from fama.selection.traits import ArmRole, SelectorTraits, by_role
from fama.settings import CompareSettings, SelectorSettings, domains_of

INPUTS = "inputs.json"


def read_task_labels(settings: CompareSettings) -> dict[str, Failure] | None:
    """Read the failure labels by task on the retrospective track, the first one of each task; None on the other.

    Labels that are of another domain or benchmark are not read.

    Raises:
        BadInput: labels on the prospective track, none on the retrospective one, an unreadable file, or one whose
            labels are all of other tasks.
    """
    if settings.track == "prospective":
        if settings.failures:
            raise BadInput("failures: a prospective comparison may not see failed episodes; set track: retrospective")
        return None
    if not settings.failures:
        raise BadInput("failures: the retrospective track needs the failures.jsonl of the plain run; see fama diagnose")
    domains = domains_of(settings.domain)
    benchmarks = {None, *(TaskKey(settings.benchmark, domain, "").canonical.benchmark for domain in domains)}
    labels: dict[str, Failure] = {}
    elsewhere: TaskKey | None = None
    for failure in read_failures(Path(settings.failures)):
        if failure.domain in (None, *domains) and failure.key.canonical.benchmark in benchmarks:
            labels.setdefault(failure.task_id, failure)
        else:
            elsewhere = failure.key
    if elsewhere is not None and not labels:
        raise BadInput(
            f"failures: {settings.failures} is of other tasks, such as {elsewhere}, than {settings.benchmark} "
            f"{settings.domain}; name the failures.jsonl of the plain run on these tasks"
        )
    return labels


def check_names(arms: Sequence[SelectorSettings]) -> None:
    """Refuse arms of one name.

    Raises:
        BadInput: no arms, or two of one name.
    """
    if not arms:
        raise BadInput("arms: none given; list at least two selectors, such as none and all")
    twice = next((name for name, times in Counter(arm.arm for arm in arms).items() if times > 1), None)
    if twice is not None:
        raise BadInput(f"arms: two are called {twice!r}; give one of them a label")


def build_arms(
    settings: CompareSettings,
    helpers: Mapping[str, Helper],
    model: ChatModel,
    failures: Mapping[str, Failure] | None,
) -> dict[str, AnySelector]:
    """Return a selector for every arm, by the arm's name, checked against the comparison's track.

    Raises:
        BadInput: no arms, two of one name, a selector of the other track, or options that it refuses.
    """
    check_names(settings.arms)
    context = SelectorContext(
        helpers,
        model,
        failures,
        settings.outcomes,
        settings.seed,
        request=requester(settings),
        cadence=settings.cadence,
    )
    built: dict[str, AnySelector] = {}
    for wanted in settings.arms:
        selector = build_selector(context, wanted)
        if not traits_of(wanted).blind and selector.track != settings.track:
            raise BadInput(
                f"arms: {wanted.arm!r} is {selector.track}, but the comparison is {settings.track}; "
                "tracks are never compared: remove the arm or set track"
            )
        built[wanted.arm] = selector
    return built


def plan_arms(settings: CompareSettings, tasks: Sequence[str]) -> list[Planned]:
    """Return all arms of one task and trial side by side, the first arm rotating, so that drift hits all alike."""
    arms = settings.arms
    plan: list[Planned] = []
    for count, (trial, task) in enumerate((r, t) for r in range(settings.trials) for t in tasks):
        turn = count % len(arms)
        plan += [Planned(task, trial, arm) for arm in (*arms[turn:], *arms[:turn])]
    return plan


def traits_of(arm: SelectorSettings) -> SelectorTraits:
    """Return what the selector of an arm declares."""
    return SELECTORS.traits(arm.name)


def arms_in_role(arms: Sequence[SelectorSettings], role: ArmRole) -> list[str]:
    """Return the names of the arms that have a place in a role, in the order of their places."""
    return [arm.arm for arm in by_role(arms, role, traits_of)]


def learned_arm(arms: Sequence[SelectorSettings]) -> str | None:
    """Return the trained arm that others are compared with: of those with a ``lead``, the first of the lowest one."""
    return next(iter(arms_in_role(arms, "lead")), None)


def plain_arm(arms: Sequence[SelectorSettings]) -> str | None:
    """Return the first arm without helpers."""
    return next((arm.arm for arm in arms if traits_of(arm).plain), None)


def check_inputs(settings: CompareSettings, out: Path) -> dict[str, dict[str, str]]:
    """Return the hashes of the files that each arm depends on, by role: ``outcomes``, ``failures``, ``options.NAME``.

    Refuses an arm whose files are not those that its episodes were run with; a file may be moved.

    Raises:
        BadInput: a checkpoint, table or label file differs from the one that the stored episodes used, or is gone.
    """
    now = {content_hash(arm.model_dump(mode="json")): _hashes(arm, settings) for arm in settings.arms}
    path = out / INPUTS
    if not path.exists():
        return now
    try:
        before: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            (arm, name)
            for arm in settings.arms
            for key in [content_hash(arm.model_dump(mode="json"))]
            for name, was in before.get(key, {}).items()
            if not _still_there(name, was, now[key])
        ]
    except (ValueError, AttributeError):
        raise BadInput(f"{path}: cannot be read; give another folder with --out") from None
    stored = {e.selector for e in EpisodeStore(out).read()} if changed else set()
    for arm, name in changed:
        if arm.arm in stored:
            raise BadInput(
                f"{name}: changed since the episodes of arm {arm.arm!r} in {out} were run; set it back, "
                "give the arm another label, or give another folder with --out"
            )
    return {**before, **now}


def _still_there(name: str, was: str, now: Mapping[str, str]) -> bool:
    """Return whether an arm still has a recorded file; earlier releases recorded paths, where content alone counts."""
    return now[name] == was if name in now else was in now.values()


def write_inputs(out: Path, inputs: Mapping[str, Mapping[str, str]]) -> None:
    """Write the hashes of ``check_inputs``, whole or not at all."""
    write_atomically(out / INPUTS, json.dumps(inputs, indent=2) + "\n")


def _hashes(arm: SelectorSettings, settings: CompareSettings) -> dict[str, str]:
    files = {f"options.{name}": value for name, value in arm.options.items() if isinstance(value, str)}
    if traits_of(arm).setup == "outcomes" and "outcomes" not in arm.options and settings.outcomes:
        files["outcomes"] = settings.outcomes
    if settings.failures and not traits_of(arm).blind:
        files["failures"] = settings.failures
    return {role: _content(Path(path)) for role, path in files.items() if Path(path).exists()}


def _content(path: Path) -> str:
    if (path / MANIFEST).is_file():  # a checkpoint: what it decides by, which holds the hashes of its files
        return content_hash(read_manifest(path).model_dump(mode="json", exclude=set(TOLD)))
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        if path.is_dir() and file.suffix not in (".json", ".jsonl", ".gz", ".safetensors"):
            continue
        digest.update(f"{file.relative_to(path)}\0".encode())
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]
