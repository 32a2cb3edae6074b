"""``fama train``: trains a router and writes its checkpoint folder."""

import argparse
import json
import logging
import shlex
import sys
import warnings
from pathlib import Path

from fama.config import add_config_flags, config_words, read_settings
from training.settings import TrainSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    add_config_flags(parser, out_default="runs/train")
    parser.add_argument("--init", metavar="DIR", help="checkpoint folder to go on from, e.g. on a new failure log")
    parser.add_argument(
        "--ckpt", metavar="last|FILE", help="resume an interrupted training; `last` is the newest state under --out"
    )


def main(args: argparse.Namespace) -> int:
    """Train, print the card's path and a short summary."""
    if args.init is not None:
        args.overrides.append(f"init={json.dumps(args.init)}")
    settings = read_settings(args, TrainSettings)
    if settings is None:
        return 0
    from training.train import train

    if settings.kind == "encoder":
        hush()
    out = Path(args.out)
    manifest = train(settings, out, _command(args), args.ckpt)
    if manifest is not None:
        found = manifest.calibration
        error = "too few rows" if found.ece_after is None else f"{found.ece_after:.3f}"
        sys.stdout.write(
            f"{manifest.kind} router for {'+'.join(manifest.pool)} → {out}\n"
            f"temperature {found.temperature:.2f}, calibration error {error} (n = {found.rows} validation rows)\n"
            f"card: {out / 'README.md'}\n"
        )
    return 0


def hush() -> None:
    """Keep the progress bar, drop the libraries' tips and their notices about each other's versions."""
    import lightning.pytorch  # noqa: F401 - sets the level of its logger when it is imported

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for library in ("transformers", "lightning"):
        warnings.filterwarnings("ignore", module=library)


def _command(args: argparse.Namespace) -> str:
    parts = ["fama", "train", *config_words(args), "--out", str(args.out)]
    return shlex.join([*parts, *(["--ckpt", args.ckpt] if args.ckpt else []), *args.overrides])
