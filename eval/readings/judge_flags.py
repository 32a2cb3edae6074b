"""Flags of commands that ask a judge, and the settings that they stand for."""

import argparse

from fama.errors import BadInput
from fama.settings import ModelSettings

#: Tokens of a judge's prompt, and the fewest in which it can read anything.
CONTEXT, LEAST_CONTEXT = 6000, 1000
#: Tokens of a served judge's context for its answer and a second try.
_ANSWER_ROOM = 1024
#: The flags beside ``--judge``, with their defaults.
JUDGE_FLAGS: dict[str, object] = {
    "judge_url": None,
    "judge_tokens": None,
    "judge_temperature": None,
    "context": CONTEXT,
}


def add_judge_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how a judge is asked."""
    parser.add_argument("--judge-url", metavar="URL", help="OpenAI-compatible endpoint of the judge")
    parser.add_argument(
        "--judge-tokens",
        metavar="N",
        type=int,
        help="tokens of each answer, thoughts included: some 2000 for a judge that thinks first (default: 120 or 160)",
    )
    parser.add_argument(
        "--judge-temperature",
        metavar="T",
        type=float,
        help="for a judge that refuses 0 (default: 0)",
    )
    parser.add_argument("--no-evidence", action="store_true", help="withhold the detectors' findings from the judge")
    parser.add_argument(
        "--context",
        metavar="TOKENS",
        type=int,
        default=CONTEXT,
        help="tokens of a judge's prompt (default: %(default)d)",
    )
    parser.add_argument(
        "--concurrency", metavar="N", type=int, default=1, help="episodes judged at once (default: %(default)d)"
    )


def judge_settings(args: argparse.Namespace) -> ModelSettings:
    """Return the settings of the judge ``args.judge``.

    Raises:
        BadInput: names the flag that is wrong.
    """
    if args.context < LEAST_CONTEXT:
        raise BadInput(
            f"--context {args.context}: too short for a judge to read anything; give at least {LEAST_CONTEXT}"
        )
    if args.concurrency < 1:
        raise BadInput(f"--concurrency {args.concurrency}: give at least 1")
    if args.judge_tokens is not None and args.judge_tokens < 1:
        raise BadInput(f"--judge-tokens {args.judge_tokens}: give at least 1")
    if args.judge_temperature is not None and not 0 <= args.judge_temperature <= 2:
        raise BadInput(f"--judge-temperature {args.judge_temperature:g}: give a number from 0 to 2")
    stated = {"temperature": args.judge_temperature, "max_tokens": args.judge_tokens}
    return ModelSettings(
        name=args.judge,
        base_url=args.judge_url,
        context_tokens=args.context + _ANSWER_ROOM + 2 * (args.judge_tokens or 0),
        **{name: value for name, value in stated.items() if value is not None},
    )
