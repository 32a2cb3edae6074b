"""Import of log files into a store, one after the other: which files, in which format, what was bad."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from itertools import islice
from pathlib import Path

from fama.episodes.attach import Attachment
from fama.episodes.foreign.file_identity import LogFile
from fama.episodes.foreign.streams import read_records
from fama.episodes.importers.acebench import is_score
from fama.episodes.importers.base import IMPORTERS, LABEL_READERS, detect_format
from fama.episodes.importers.tau2 import is_part
from fama.episodes.intake import Intake
from fama.episodes.records import Episode, Failure
from fama.errors import BadInput

#: Word for the format that each file has by its fields.
AUTO = "auto"
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".eval")
#: records of a file of unknown ending that are tried
_FIRST = 50


@dataclass
class LogImport:
    """Imports file by file into ``intake``; ``bad`` names the files that cannot be read, ``labels`` are the logs' own.

    ``options`` (``benchmark``, ``domain``, ``backbone``, ``strategy``) are given to the importer, and fill what its
    episodes lack. ``attach`` adds tools and a policy.
    """

    intake: Intake
    attach: Attachment
    format: str = AUTO
    options: Mapping[str, str] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    labels: list[Failure] = field(default_factory=list)

    def add(self, path: Path, base: Path) -> str | None:
        """Import a file, whole or not at all; return in words what was there, None where it is bad.

        ``base`` is the folder that the file's place is told from.
        """
        try:
            file = LogFile.of(path, base)
            name = detect_format(path) if self.format == AUTO else self.format
            found = list(LABEL_READERS.load(name)(path)) if name in LABEL_READERS.names() else []
            told = self.intake.add(file, self.attach(self._filled(IMPORTERS.load(name)(path, **self.options))))
        except BadInput as error:
            own = self.format != AUTO and self.format not in IMPORTERS.builtin  # may read files of any ending
            readable = own or _is_log(path)
            self.bad.append(str(error) if readable else f"{path}: not a log; give a .json, .jsonl, .gz or .eval file")
            return None
        self.labels += found
        return f"{file.place}: {told}"

    def _filled(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Yield the episodes with the options for what they lack; an importer of a plug-in may not know of options."""
        for episode in episodes:
            lacking = {
                name: value
                for name, value in self.options.items()
                if getattr(episode, name) is None or (name == "domain" and episode.domain == "unknown")
            }
            yield episode.model_copy(update=lacking) if lacking else episode

    def remarks(self, option: Callable[[str], str], again: str) -> Iterator[str]:
        """Yield what makes the imported episodes count otherwise than they may be meant to, each with a way out.

        ``option`` spells the name of an option, ``again`` says how to import once more.
        """
        counts = self.intake.counts
        if unused := sorted(set(self.attach.roles) - self.attach.named):
            yield (
                f"{option('roles')}: no tool without a stated role is called {', '.join(unused)}; "
                f"a log without tools needs {option('tools')}"
            )
        if (own := len(self.intake.own_arms)) > 1:
            yield (
                f"kept apart: {own} logs do not name backbone, strategy or domain, each is its own arm; give "
                f"{option('backbone')}, {option('strategy')} and {option('domain')}, {again}, "
                "to count them as trials of one"
            )
        if count := counts["unjudged"]:
            yield (
                f"{count} episodes have no outcome: nothing scores or diagnoses them; "
                f'write "success": true or false, or a "reward", into each record '
                f"(of a trace into its root, of Langfuse as a score; ACEBench: give the score files, too), {again}"
            )
        if count := counts["above"]:
            yield (
                f"{count} rewards are above 1, and every reward from 1 on counts as a success: is that the scale? "
                f'Else write "success": true or false into each record, {again}'
            )
        if count := counts["longer"]:
            yield (
                f"{count} episodes begin with all messages of another one and go on: is it a log of requests? "
                f"Keep the last one of each conversation, {again}; else it counts as often as it asked"
            )
        if count := counts["leaking"]:
            yield (
                f"{count} user turns hold </think>, thoughts that the user simulator leaked: to cut them, give "
                f"{option('strip_user_thinking')}, {again}; keep them to replay what the agent saw"
            )

    def check(self, files: int) -> None:
        """Tell what was bad of so many files.

        Raises:
            BadInput: some file could not be read.
        """
        if self.bad:
            good = files - len(self.bad)
            rest = f" (the other {good} of {files} files are imported)" if good else ""
            raise BadInput("; ".join(self.bad) + rest)


def check_format(name: str) -> None:
    """Refuse a format that no importer reads.

    Raises:
        BadInput: it is unknown; the message lists the known ones.
    """
    if name != AUTO:
        IMPORTERS.load(name)


def log_files(names: Sequence[str], store: Path | None = None) -> tuple[list[Path], Path]:
    """Return the files of paths, folders and patterns, and the folder that their places are relative to.

    The ``store`` that they are imported into is none of them.

    Raises:
        BadInput: one of them is not there, or a folder holds no log.
    """
    found: dict[Path, None] = {}
    known: set[Path] = set() if store is None else {store.resolve()}
    bases: set[Path] = set()
    for name in names:
        path = Path(name)
        bases |= {path.absolute() if path.is_dir() else one.parent.absolute() for one in _matching(path)}
        for one in _matching(path):
            if (file := one.resolve()) not in known:  # a link beside its file is no second one
                known.add(file)
                found[one] = None
    if not found:
        raise BadInput(f"{', '.join(names)}: no file; give a log file, a pattern or a folder of them")
    base = Path(os.path.commonpath(bases))
    results = [path for path in found if not is_score(path)]
    found = dict.fromkeys(results) if results else found  # an evaluator's file is read with the results beside it
    parts = {path for path in found if is_part(path)}
    read_above = {
        path for path in parts if any(path.parent.parent.samefile(other.parent) for other in found.keys() - parts)
    }
    return [path for path in found if path not in read_above], base


def _is_log(path: Path) -> bool:
    """Return False for a file of another ending that holds no JSON record either."""
    if path.name.endswith((*_SUFFIXES, ".gz")) or not os.access(path, os.R_OK):
        return True  # the importer's own words say what is wrong
    try:
        return any(not record.fault for record in islice(read_records(path), _FIRST))
    except BadInput:
        return False


def _named_as_a_log(name: str) -> bool:
    """Return whether a file of a folder is read; of ``.gz`` with another ending before it, none but logs' are."""
    return name.endswith(_SUFFIXES) or (name.endswith(".gz") and name.count(".") == 1)


def _matching(path: Path) -> Iterator[Path]:
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if _named_as_a_log(p.name.lower()) and p.is_file())
        if not found:
            raise BadInput(
                f"{path}: holds no .json, .jsonl, .ndjson, .gz or .eval file; give a folder of logs, or files of "
                "another ending by name or pattern"
            )
        yield from found
    elif path.exists():
        yield path
    elif has_magic(str(path)) and (matching := sorted(glob(str(path), recursive=True))):
        yield from (Path(match) for match in matching if Path(match).is_file())
    else:
        raise BadInput(f"{path}: does not exist; give a log file, a pattern or a folder of them")
