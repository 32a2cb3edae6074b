"""``fama annotate DIR``: a local web page to label failures by hand."""

import argparse
from pathlib import Path

from fama.errors import BadInput

DEFAULT_PORT = 8765


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    told = "folder with episodes.jsonl, or that file; labels go into DIR/annotations"
    parser.add_argument("folder", metavar="DIR", help=told)
    parser.add_argument(
        "--findings", metavar="FILE", help="failures.jsonl with the machine's findings, hidden at first"
    )
    parser.add_argument(
        "--only", metavar="FILE", help="label only the episodes that this failures.jsonl names, such as disputed.jsonl"
    )
    parser.add_argument("--taxonomy", metavar="FILE", help="a taxonomy of your own (YAML)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port on this machine (default %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from fama.diagnosis.taxonomy import load_taxonomy
    from fama.episodes.store import read_episodes, read_failures
    from fama.models.servers.loopback import need_free

    folder = Path(args.folder)
    episodes = [episode for episode in read_episodes(folder) if episode.outcome.status == "failure"]
    if not episodes:
        raise BadInput(f"{folder}: holds no failed episode; there is nothing to label")
    if args.only:
        wanted = {failure.episode_id for failure in read_failures(Path(args.only))}
        episodes = [episode for episode in episodes if episode.id in wanted]
        if not episodes:
            raise BadInput(f"--only {args.only}: names no failed episode of {folder}; there is nothing to label")
    taxonomy = load_taxonomy(Path(args.taxonomy) if args.taxonomy else None)
    findings = {f.episode_id: f for f in read_failures(Path(args.findings))} if args.findings else {}
    if not 1 <= args.port <= 65535:
        raise BadInput(f"--port {args.port}: give a number from 1 to 65535")
    need_free(args.port)
    try:
        from fama.annotate.annotation_page import serve_page
    except ImportError:
        raise BadInput("fama annotate: needs NiceGUI; pip install 'fama-router[annotate]'") from None
    print(f"{len(episodes)} failed episodes: http://127.0.0.1:{args.port}/?annotator=YOUR-NAME (Ctrl-C ends it)")
    folder = folder if folder.is_dir() else folder.parent
    print(f"labels are saved in {folder / 'annotations'} after every change; compare with: fama agree FILE FILE")
    try:
        serve_page(folder, episodes, taxonomy, findings, args.port)
    except KeyboardInterrupt:
        print("stopped; every label is saved")
    return 0
