"""``fama serve --router CKPT --upstream URL``: an OpenAI-compatible endpoint that puts notes into requests."""

import argparse
import sys

from fama.config import add_overrides, read_settings, with_flag
from fama.errors import BadInput

_FLAGS = {
    "router": ("CKPT", "folder of a checkpoint, or a selector's name such as all"),
    "upstream": ("URL", "OpenAI-compatible endpoint that answers, with its /v1"),
    "host": ("HOST", "address to listen on (default: 127.0.0.1); others than this machine's own need --key-env"),
    "port": ("PORT", "port to listen on (default: 8800)"),
    "key-env": ("NAME", "environment variable with the key that clients must send"),
    "record": ("DIR", "record each conversation as an episode in DIR/episodes.jsonl"),
    "cadence": ("WHEN", "when the router is asked: turn (default), episode or change"),
    "placement": ("WHERE", "where notes go: user (default), system or assistant"),
}
#: Flags whose setting has another name.
_SETTING = {"key-env": "key_env", "record": "record.folder"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    for name, (what, text) in _FLAGS.items():
        parser.add_argument(f"--{name}", metavar=what, help=text)
    parser.add_argument("--config", metavar="F", action="append", default=[], help="YAML file of settings")
    parser.add_argument("--print_config", action="store_true", help="print the resolved settings as YAML and stop")
    add_overrides(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; requests under way are finished first."""
    try:
        from fama.serving.settings import ServeSettings
    except ImportError as error:
        raise BadInput(f"fama serve: needs {error.name}; pip install fama-router") from None
    given = {_SETTING.get(name, name): getattr(args, name.replace("-", "_")) for name in _FLAGS}
    for name, (key, value) in zip(_FLAGS, given.items(), strict=True):
        if value is not None:
            args.overrides = with_flag(args.overrides, f"--{name} {value}", f"{key}={_quoted(value)}")
    settings = read_settings(args, ServeSettings)
    if settings is None:
        return 0
    from fama.serving.server import serve_endpoint

    host = f"[{settings.host}]" if ":" in settings.host else settings.host

    def listening(port: int) -> None:
        sys.stderr.write(f"http://{host}:{port}/v1 → {settings.upstream} (Ctrl-C ends it)\n")
        if settings.record.folder is not None:
            sys.stderr.write(f"conversations are recorded in {settings.record.folder}\n")

    try:
        serve_endpoint(settings, listening)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; requests under way were finished\n")
    return 0


def _quoted(value: str) -> str:
    """Return a flag's text as YAML that is read as that text."""
    return "'" + value.replace("'", "''") + "'"
