"""``fama show``: episodes as a reader follows them, with the notes before the decisions they were given to.

With ``--repairs`` the decision that a mined repair changes first is marked, with its notes, the action with and without
them, and how the episode went on. Where labels lie beside the episodes, or are given with ``--failures``, the diagnosis
stands below the first line and at its step.
"""

import argparse
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.text import Text

from fama.commands.terminal import console, print_note, printable
from fama.episodes.records import Decision, Episode, Failure, Message
from fama.episodes.store import FAILURES, read_episodes, read_failures
from fama.errors import BadInput

STATUSES = ("success", "failure", "error")
WIDTH = 110
_STYLES = {
    "user": "green",
    "agent": "bold",
    "call": "cyan",
    "tool": "dim",
    "note": "yellow",
    "dropped": "red",
    "unparsed": "red",
    "repair": "bold magenta",
    "diagnosis": "bold blue",
}
#: Findings of a diagnosis that are printed, those of its step first.
_FINDINGS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("path", metavar="DIR", help="episodes.jsonl, or its folder")
    parser.add_argument("--repairs", metavar="DIR", help="folder of `fama mine`: mark the decisions that it repaired")
    parser.add_argument(
        "--failures", metavar="FILE", help="failures.jsonl or its folder: show the diagnoses (default: DIR's, if any)"
    )
    parser.add_argument("--task", metavar="ID", help="only this task")
    parser.add_argument("--arm", metavar="NAME", help="only this arm")
    parser.add_argument("--status", choices=STATUSES, help="only episodes that ended so")
    parser.add_argument("--limit", type=int, default=1, metavar="N", help="episodes to print at most (default: 1)")
    parser.add_argument("--chars", type=int, default=400, metavar="N", help="characters of a tool's result to print")


def main(args: argparse.Namespace) -> int:
    """Print the episodes that fit."""
    for name in ("limit", "chars"):
        if getattr(args, name) < 1:
            raise BadInput(f"--{name} is {getattr(args, name)}; give a number of at least 1")
    screen = console()
    repairs = {} if args.repairs is None else repairs_in(Path(args.repairs))
    diagnoses = _diagnoses(args.failures, Path(args.path))
    diagnosed = args.failures is None
    wanted = {"task_id": args.task, "selector": args.arm}
    shown, marked = 0, args.repairs is None
    for episode in read_episodes(Path(args.path)):
        fits = all(value is None or getattr(episode, key) == value for key, value in wanted.items())
        if fits and args.status in (None, episode.outcome.status):
            marked = marked or bool(repairs.get(episode.id))
            labels = diagnoses.get(episode.id, ())
            diagnosed = diagnosed or bool(labels)
            for kind, line in lines(episode, args.chars, repairs.get(episode.id, {}), labels):
                screen.print(Text(line, style=_STYLES.get(kind, "")), soft_wrap=True)
            screen.print()
            shown += 1
            if shown == args.limit:
                break
    if not shown:
        raise BadInput(f"{args.path}: holds no episode like that; `fama score {args.path}` lists what it holds")
    if not marked:
        kept = f"its {len(repairs)} repaired or repairing episodes are others" if repairs else "it holds none"
        print_note(screen, f"No repair in {args.repairs} is of an episode shown here: {kept}.")
    if not diagnosed:
        print_note(
            screen, f"No label in {args.failures} is of an episode shown here: it holds {len(diagnoses)} others."
        )
    return 0


def _diagnoses(given: str | None, path: Path) -> dict[str, list[Failure]]:
    """Return labels by episode: of the file that was given, else of one beside the episodes, if there is one."""
    beside = (path if path.is_dir() else path.parent) / FAILURES
    if given is None and not beside.is_file():
        return {}
    found: dict[str, list[Failure]] = {}
    for label in read_failures(beside if given is None else Path(given)):
        found.setdefault(label.episode_id, []).append(label)
    return found


def repairs_in(folder: Path) -> dict[str, dict[int, list[str]]]:
    """Return what to say of repairs, by episode and decision: of the mined episodes and of the executed repairs.

    Raises:
        BadInput: the folder holds no repairs.
    """
    from fama.episodes.jsonl import RecordStore, existing_file
    from fama.mining.records import REPAIRS, Repair
    from fama.subsets import subset_label

    records = [one for one in RecordStore(existing_file(folder, REPAIRS), Repair).read() if one.repair is not None]
    executed = {one.id: one for one in read_episodes(folder)} if records else {}
    found: dict[str, dict[int, list[str]]] = {}
    for record in records:
        for placed in record.repair or ():
            marks = found.setdefault(record.repaired_episode or "", {}).setdefault(placed.decision, [])
            marks.append(f"{placed.note.helper}'s note here is part of the repair")
        for gone in record.withdrawn or ():
            marks = found.setdefault(record.repaired_episode or "", {}).setdefault(gone.decision, [])
            marks.append(f"{subset_label(gone.members)} left out here is part of the repair")
        first, repaired = record.decisive, executed.get(record.repaired_episode or "")
        if first is None or repaired is None:
            continue
        notes = [one for one in record.repair or () if one.decision == first]
        away = [one for one in record.withdrawn or () if one.decision == first]
        others = len(record.repair or ()) - len(notes) + len(record.withdrawn or ()) - len(away)
        later = f", and {others} more change{'s' if others > 1 else ''} after it" if others else ""
        found.setdefault(record.episode_id, {})[first] = [
            f"repaired by {subset_label(record.members or ())}: {record.task_id} ends in success with this{later}",
            *(f"note {one.note.helper}: {one.note.text}" for one in notes),
            *(f"{subset_label(one.members)} left out" for one in away),
            f"action with it: {_action(repaired, first)}; without: as below",
        ]
    return found


def _action(episode: Episode, turn: int) -> str:
    message = episode.messages[episode.decisions[turn].message_index]
    calls = [f"{call.function.name} {call.function.arguments}" for call in message.tool_calls or ()]
    return " ".join(calls) or f"says {message.content or ''!r}"


def lines(
    episode: Episode,
    chars: int,
    repairs: Mapping[int, Sequence[str]] | None = None,
    labels: Sequence[Failure] = (),
) -> Iterator[tuple[str, str]]:
    """Yield an episode as (kind, text) lines; kinds: ``head user agent call tool note dropped unparsed repair``.

    ``repairs`` is what to say of a mined repair before a decision (0-based), ``labels`` are the episode's diagnoses
    (kind ``diagnosis``).
    """
    outcome = episode.outcome
    ended = outcome.status if outcome.boundary is None else f"{outcome.boundary} error"
    about = [episode.task_id, f"trial {episode.trial}", f"arm {episode.selector or 'unknown'}", ended]
    yield "head", printable(" · ".join([*about, *([outcome.reason] if outcome.reason else [])]))
    for label in labels:
        yield from _diagnosis(label, chars)
    decisions = {decision.message_index: decision for decision in episode.decisions}
    for index, message in enumerate(episode.messages):
        for label in labels:
            if label.step == index:
                yield "diagnosis", _block("diagnosis", f"step named by {label.labeller}: {_causes(label)}")
        if index in decisions:
            for said in (repairs or {}).get(decisions[index].turn, ()):
                yield "repair", _block("repair", said)
            yield from _notes(decisions[index])
        if index == len(episode.messages) - 1 and message.role == "assistant" and outcome.reason == "unparseable":
            yield "unparsed", _block("unparsed", message.content or "")  # nobody heard it
        elif message.role != "system":
            yield from _message(message, chars)
    for decision in episode.decisions:
        if decision.message_index >= len(episode.messages):
            yield from _notes(decision)


def _diagnosis(label: Failure, chars: int) -> Iterator[tuple[str, str]]:
    step = "step unknown" if label.step is None else f"step: message {label.step}"
    yield "diagnosis", _block("diagnosis", f"{_causes(label)} · blame: {label.blame} · {step} (by {label.labeller})")
    if label.rationale:
        yield "diagnosis", _block("because", label.rationale)
    findings = [one for one in label.evidence if one.category in label.primary] or list(label.evidence)
    findings.sort(key=lambda one: (one.step != label.step, one.step or 0))
    for one in findings[:_FINDINGS]:
        yield (
            "diagnosis",
            _block("finding", f"[{'?' if one.step is None else one.step}] {one.source}: {one.quote[:chars]}"),
        )


def _causes(label: Failure) -> str:
    others = [code for code in label.categories if code not in label.primary]
    also = f" (also {', '.join(others)})" if others else ""
    return f"{' + '.join(label.primary) or 'no category'}{also}{' (a guess)' if label.unexplained else ''}"


def _notes(decision: Decision) -> Iterator[tuple[str, str]]:
    for note in decision.notes:
        yield "note", _block(f"note {note.helper}", note.text)
    for dropped in decision.rejected:
        yield "dropped", _block(f"dropped {dropped.helper}", f"{dropped.text} ({dropped.reason})")


def _message(message: Message, chars: int) -> Iterator[tuple[str, str]]:
    text = message.content or ""
    if message.role == "tool":
        cut = text if len(text) <= chars else f"{text[:chars]}… ({len(text) - chars} characters more)"
        yield "tool", _block("result", cut)
    elif text:
        kind = "user" if message.role == "user" else "agent"
        yield kind, _block(kind, text)
    for call in message.tool_calls or ():
        yield "call", _block("agent", f"{call.function.name} {call.function.arguments}")


def _block(label: str, text: str) -> str:
    plain = " ".join(printable(text).split())
    return textwrap.fill(plain, WIDTH, initial_indent=f"{label:>13}  ", subsequent_indent=" " * 15)
