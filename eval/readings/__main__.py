"""The reading set: ``python -m eval.readings draw LOGS``, ``packets LOGS --out DIR`` and ``check FILE LOGS``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.readings.answers import faults
from eval.readings.draw import SEED, draw, read_logs
from eval.readings.members import SET, read_set, write_set
from eval.readings.packets import batches, packet, policy, policy_name
from fama.diagnosis.taxonomy import load_taxonomy
from fama.episodes.records import Episode
from fama.errors import BadInput
from fama.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the three; return 2 for bad input, told in one line, or for answers with faults, one line each."""
    args = _arguments(arguments)
    try:
        if args.what == "draw":
            write_set(draw(read_logs(args.logs), seed=args.seed), args.set)
            return 0
        episodes = read_logs(args.logs)
        members = _members(episodes, args)
        if args.what == "packets":
            _write(members, episodes, args)
            return 0
        told = faults(args.file, members, load_taxonomy())
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{fault}\n" for fault in told)
    return 2 if told else 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.readings", description=__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    drawing = commands.add_parser("draw", help="draw the failures to read")
    drawing.add_argument("--seed", type=int, default=SEED, help="of the draw (default: %(default)s)")
    making = commands.add_parser(
        "packets", help="write what readers get; outside the repository, dialogues are others'"
    )
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that gets the texts")
    checking = commands.add_parser("check", help="check a file of answers")
    checking.add_argument("file", type=Path, metavar="FILE", help="the answers, a JSON object a line")
    for command in (drawing, making, checking):
        command.add_argument("logs", type=Path, metavar="LOGS", help="folder of the logs")
        command.add_argument("--set", type=Path, default=SET, help="file of the set (default: %(default)s)")
    return parser.parse_args(arguments)


def _members(episodes: Sequence[Episode], args: argparse.Namespace) -> dict[str, Episode]:
    """Return the episodes of the set by id, in its order.

    Raises:
        BadInput: the logs lack one.
    """
    known = {episode.id: episode for episode in episodes}
    wanted = read_set(args.set).by_id
    if missing := [one for one in wanted if one not in known]:
        raise BadInput(
            f"{args.logs}: lacks {len(missing)} failures of {args.set}, first {missing[0]}; give all the logs"
        )
    return {one: known[one] for one in wanted}


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
