"""The reading set, ``python -m eval.readings``: draw it, give it out, check and publish answers, compare labels."""

import argparse
import asyncio
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from eval.readings.annotator_agreement import (
    Named,
    agreement_markdown,
    measure_agreement,
    of_detectors,
    of_reading,
    read_named,
)
from eval.readings.draw import AGAIN as AGAIN_STRATA
from eval.readings.draw import AGAIN_SEED, MORE_SEED, SEED, draw_failures, read_logs
from eval.readings.draw import MORE as MORE_STRATA
from eval.readings.finding_weights import choices, cross_validate
from eval.readings.fitted.command import pooled, report
from eval.readings.judge import Judging, measure_judge
from eval.readings.judge_flags import add_judge_flags, judge_settings
from eval.readings.measured import LabellerScores, record_scores
from eval.readings.members import HALVES, SET, read_set, write_set
from eval.readings.packets import batches, packet, policy, policy_name
from eval.readings.reader_answers import faults
from eval.readings.readings import AGAIN, FILES, FOLDER, MORE, PARTS, final, publish, read_readings, readers, tuning
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode
from fama.errors import BadInput, FamaError
from fama.files import write_atomically
from fama.provenance import git_commit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of them; return 2 for bad input, told in one line, or for answers with faults, one line each."""
    args = _arguments(arguments)
    try:
        if args.what == "draw":
            _draw(args)
            return 0
        if args.what == "publish":
            sys.stdout.write(f"{publish(args.files, args.name, args.folder)} readings\n")
            return 0
        episodes = read_logs(args.logs)
        if args.what == "agree":
            sys.stdout.write(_agree(episodes, args) + "\n")
            return 0
        if args.what == "judge":
            sys.stdout.write(_judge(episodes, args) + "\n")
            return 0
        if args.what == "fit":
            _fit(episodes, args)
            return 0
        members = _known(episodes, read_set(args.set).by_id, args.logs, args.set)
        if args.what == "packets":
            _write(members, episodes, args)
            return 0
        told = faults(args.file, members, load_taxonomy())
    except FamaError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, BadInput) else 1
    sys.stdout.writelines(f"{fault}\n" for fault in told)
    return 2 if told else 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.readings", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    drawing = commands.add_parser("draw", help="draw the failures to read")
    drawing.add_argument("--seed", type=int, help="of the draw (default: that of the committed one)")
    drawing.add_argument("--beside", type=Path, metavar="SET", help="draw further ones, beside this set")
    drawing.add_argument(
        "--half", choices=HALVES, default="tuning", help="what those beside a set are for (%(default)s)"
    )
    making = commands.add_parser(
        "packets", help="write what readers get; outside the repository, dialogues are others'"
    )
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that gets the texts")
    checking = commands.add_parser("check", help="check a file of answers")
    checking.add_argument("file", type=Path, metavar="FILE", help="the answers, a JSON object a line")
    publishing = commands.add_parser("publish", help="write answers as they are committed, without words of dialogues")
    publishing.add_argument("name", choices=FILES, help="whose they are")
    publishing.add_argument("files", type=Path, nargs="+", metavar="FILE", help="files of answers")
    agreeing = commands.add_parser("agree", help="agreement of readers, detectors and label files with the readings")
    agreeing.add_argument("--half", choices=PARTS, default="tuning", help="each test set is used once")
    agreeing.add_argument(
        "--labels", type=Path, nargs="*", default=[], metavar="FILE", help="failures.jsonl to compare"
    )
    judging = commands.add_parser("judge", help="let a model label the failures as fama diagnose does, and compare")
    judging.add_argument("--judge", required=True, metavar="NAME", help="model that judges")
    add_judge_flags(judging)
    judging.add_argument("--first", metavar="N", type=int, help="only so many, in an order drawn by seed")
    judging.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of labels, outside the repository"
    )
    for command in (agreeing, judging):
        command.add_argument("--record", action="store_true", help="keep what was measured: agreement.jsonl")
    judging.add_argument("--half", choices=PARTS, default="test", help="what is judged (%(default)s)")
    fitting = commands.add_parser("fit", help="fit weights of findings on the tuning readings, cross-validated by task")
    fitting.add_argument(
        "--models", action="store_true", help="fit models of category, party and step on all readings instead: minutes"
    )
    fitting.add_argument("--record", action="store_true", help="with --models: keep what was measured: fitted.json")
    for command in (publishing, agreeing, judging, fitting):
        command.add_argument("--folder", type=Path, default=FOLDER, help="of the readings (default: %(default)s)")
    for command in (drawing, making, checking, agreeing, judging, fitting):
        command.add_argument("logs", type=Path, metavar="LOGS", help="folder of the logs")
        if command in (agreeing, judging, fitting):
            continue
        command.add_argument("--set", type=Path, default=SET, help="file of the set (default: %(default)s)")
    return parser.parse_args(arguments)


def _draw(args: argparse.Namespace) -> None:
    episodes = read_logs(args.logs)
    if args.beside is None:
        drawn = draw_failures(episodes, seed=SEED if args.seed is None else args.seed)
    elif args.beside.resolve() == args.set.resolve():
        raise BadInput(f"{args.set}: is the set to draw beside; give another --set for the further ones")
    else:
        strata, seed = (MORE_STRATA, MORE_SEED) if args.half == "tuning" else (AGAIN_STRATA, AGAIN_SEED)
        drawn = draw_failures(
            episodes, strata, seed if args.seed is None else args.seed, read_set(args.beside), args.half
        )
    write_set(drawn, args.set)


def _agree(episodes: Sequence[Episode], args: argparse.Namespace) -> str:
    """Return the table of agreement of one half.

    Raises:
        BadInput: the logs lack a failure, or a committed file is wrong.
    """
    readings = final(args.half, args.folder)
    known = _known(episodes, readings, args.logs, args.folder)
    tasks = _tasks(args.folder)
    taxonomy = load_taxonomy()
    rows = []
    if args.half != "more":
        first, second = (read_readings(name, args.folder) for name in readers(args.half)[:2])
        rows.append(
            measure_agreement(
                "reader B against reader A",
                {one: first[one] for one in readings},
                {one: of_reading(second[one]) for one in readings},
                tasks,
            )
        )
    always = {one: Named("IFU", "agent", None) for one in readings}
    rows.append(measure_agreement("always the agent, IFU", readings, always, tasks))
    for name, shown in (("detectors", True), ("detectors, references hidden", False)):
        rows.append(
            measure_agreement(name, readings, {o: of_detectors(known[o], taxonomy, shown) for o in readings}, tasks)
        )
    for path in args.labels:
        rows.append(measure_agreement(path.parent.name, readings, read_named(path, taxonomy), tasks))
    if args.record:
        version, commit = taxonomy.version, git_commit()
        record_scores(
            [LabellerScores(half=args.half, row=row, taxonomy=version, commit=commit) for row in rows], args.folder
        )
    return agreement_markdown(rows)


def _judge(episodes: Sequence[Episode], args: argparse.Namespace) -> str:
    """Return the table of a judge beside the detectors, on the failures that it judged.

    Raises:
        BadInput: the logs lack a failure, a flag or a committed file is wrong, or ``--out`` holds other labels.
        FamaError: the judge does not answer.
    """
    if args.first is not None and args.first < 1:
        raise BadInput(f"--first {args.first}: give at least 1")
    settings = judge_settings(args)
    readings = final(args.half, args.folder)
    known = _known(episodes, readings, args.logs, args.folder)
    judging = Judging(settings, args.context, not args.no_evidence, args.concurrency, args.first)
    found = asyncio.run(measure_judge(args.half, known, readings, _tasks(args.folder), args.out, judging))
    if args.record:
        record_scores([found], args.folder)
    return agreement_markdown([found.row])


def _fit(episodes: Sequence[Episode], args: argparse.Namespace) -> None:
    """Print how fitted weights of findings, or with ``--models`` the fitted models, do beside the rule.

    Raises:
        BadInput: the logs lack a failure, a committed file is wrong, or the encoder is not there.
    """
    taxonomy = load_taxonomy()
    if args.models:
        read = _known(episodes, pooled(args.folder), args.logs, args.folder)
        for text in report(read, args.folder, taxonomy, keep=args.record):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        return
    if args.record:
        raise BadInput("--record: keeps what --models measures; give both, or neither")
    readings = tuning(args.folder)
    given = choices(_known(episodes, readings, args.logs, args.folder), readings, taxonomy)
    sys.stdout.write(agreement_markdown(cross_validate(given, readings, _tasks(args.folder))) + "\n")


def _known(episodes: Sequence[Episode], wanted: Collection[str], logs: Path, source: Path) -> dict[str, Episode]:
    """Return the wanted episodes by id, in the order in which ``source`` names them.

    Raises:
        BadInput: the logs lack one.
    """
    known = {episode.id: episode for episode in episodes}
    if missing := [one for one in wanted if one not in known]:
        raise BadInput(f"{logs}: lacks {len(missing)} failures of {source}, first {missing[0]}; give all the logs")
    return {one: known[one] for one in wanted}


def _tasks(folder: Path) -> dict[str, str]:
    """Return the task of every failure that was read."""
    members = (member for name in (SET.name, MORE.name, AGAIN.name) for member in read_set(folder / name).members)
    return {member.id: str(member.task_key) for member in members}


def _write(members: dict[str, Episode], episodes: Sequence[Episode], args: argparse.Namespace) -> None:
    """Write a packet a failure, the policies, and the ids in batches."""
    folder = args.out / "packets"
    folder.mkdir(parents=True, exist_ok=True)
    for one, episode in members.items():
        write_atomically(folder / f"{one}.txt", packet(episode))
    for name in {policy_name(episode) for episode in members.values()}:
        write_atomically(folder / name, policy(episode for episode in episodes if policy_name(episode) == name))
    write_atomically(args.out / "batches.json", json.dumps(batches(read_set(args.set)), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
