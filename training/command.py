"""``fama train``: train a router and write its checkpoint folder."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from fama.config import add_config_flags, config_words, read_settings, with_flag
from fama.errors import BadInput, FamaError
from fama.selection.router.checkpoint_files import WORK
from training.settings import STATE, TrainSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    add_config_flags(parser, out_default="runs/train")
    parser.add_argument("--init", metavar="DIR", help="checkpoint folder to go on from, e.g. on a new failure log")
    parser.add_argument(
        "--ckpt", metavar="last|FILE", help="resume an interrupted training; `last` is the newest state under --out"
    )


def main(args: argparse.Namespace) -> int:
    """Train, print the card's path and a short summary."""
    if args.init is not None:
        args.overrides = with_flag(args.overrides, f"--init {args.init}", f"init={json.dumps(args.init)}")
    settings = read_settings(args, TrainSettings)
    if settings is None:
        return 0
    from fama.selection.router.kinds.base import ROUTER_KINDS
    from training.kinds.base import trainer_of
    from training.rounds import train_in_rounds
    from training.train import train

    trainer_of(settings.kind).quieten()
    out = Path(args.out)
    if settings.rounds > 1 and args.ckpt is not None:
        raise BadInput("--ckpt: rounds go on by themselves where they stopped; leave it out")
    if settings.rounds > 1:
        manifest = train_in_rounds(settings, out, _command(args), told=_tell)
    else:
        try:
            manifest = train(settings, out, _command(args), args.ckpt)
        except KeyboardInterrupt:
            raise FamaError(_interrupted(out / WORK / STATE / "last.ckpt")) from None
    if manifest is not None:
        calibration = manifest.calibration
        error = "too few rows" if calibration.ece_after is None else f"{calibration.ece_after:.3f}"
        rows = f"(n = {calibration.rows} validation rows)"
        told = f"temperature {calibration.temperature:.2f}, calibration error {error} {rows}"
        if not calibration.rows:
            told = "not calibrated: no validation row has an outcome"
        if not ROUTER_KINDS.load(manifest.kind).predicts_success:
            told = "not calibrated: it predicts no success"
        sys.stdout.write(
            f"{manifest.kind} router for {'+'.join(manifest.pool)} → {out}\n{told}\ncard: {out / 'README.md'}\n"
        )
    return 0


def _interrupted(state: Path) -> str:
    if state.is_file():
        return (
            f"interrupted; its last whole epoch is kept in {state}: --ckpt last goes on from it, without it starts anew"
        )
    return "interrupted before there was something to keep; the same command starts anew"


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _command(args: argparse.Namespace) -> str:
    parts = ["fama", "train", *config_words(args), "--out", str(args.out)]
    return shlex.join([*parts, *(["--ckpt", args.ckpt] if args.ckpt else []), *args.overrides])
