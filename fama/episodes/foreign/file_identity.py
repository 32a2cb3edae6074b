"""Identity of a log's file and of what it holds: its tasks, and the arm that the log does not name, by its place."""

import hashlib
import os
import re
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

from fama.episodes.foreign.fields import name_of
from fama.episodes.foreign.streams import open_packed
from fama.episodes.records import Episode, Source
from fama.errors import BadInput
from fama.hashing import content_hash

_SUFFIX = re.compile(r"\.(?:jsonl?|ndjson|eval)(?:\.gz)?$|\.gz$", re.IGNORECASE)
_REPETITION = re.compile(
    r"(?:^|(?<=[-_. ]))(?:seed|trial|rep|repeat|repetition|run|epoch)[-_ ]?\d{1,4}(?=$|[-_. ])", re.I
)
_SHARD = re.compile(
    r"(?:^|[-_. ])(?:(?:shard|part|chunk|split|batch)[-_ ]?\d+|\d+-of-\d+|0\d{1,4}|\d{5})(?:-of-\d+)?$", re.IGNORECASE
)
_JOINTS = re.compile(r"[-_. ]{2,}")
#: Settings of a model or a run that set an arm apart; addresses, keys and limits of waiting do not.
_SETTINGS = frozenset(
    "temperature top_p top_k min_p max_tokens max_completion_tokens reasoning_effort thinking presence_penalty "
    "verbosity frequency_penalty repetition_penalty enable_thinking chat_template_kwargs max_steps".split()
)


class LogFile(NamedTuple):
    """A file that is imported: its place relative to what was given, and hashes of its bytes and its whole path.

    ``content`` is a hash of what is in it, the same for a packed and an unpacked file.
    """

    place: str
    digest: str
    location: str
    content: str

    @classmethod
    def of(cls, path: Path, base: Path) -> "LogFile":
        """Read a file's content for its hash.

        Raises:
            BadInput: it cannot be read.
        """
        try:
            with path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                content = digest = _digest(raw)
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); give a .json, .jsonl or .gz file") from None
        if packed:
            with open_packed(path) as file:
                content = _digest(cast(BufferedReader, file))
        place = Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
        return cls(place, digest, content_hash(str(path.resolve()))[:16], content)

    def source(self, own: Source | None = None, own_arm: str | None = None) -> Source:
        """Return the origin of this file's episodes."""
        return (own or Source()).model_copy(
            update={"file": self.place, "digest": self.digest, "location": self.location, "own_arm": own_arm}
        )

    def placed(self, episode: Episode) -> Episode:
        """Return an episode with the file's place, which names a task without an id, and an arm that is not named."""
        known = episode.backbone and (episode.strategy or episode.agent) and episode.domain != "unknown"
        name = PurePosixPath(self.place).name
        update: dict[str, object] = {"source": self.source(episode.source, None if known else origin(self.place))}
        _, _, position = episode.task_id.rpartition(":")
        if position.isdigit() and episode.task_id == positional(name, int(position)):
            update["task_id"] = positional(self.place, int(position))
        return episode.model_copy(update=update)

    def same(self, source: Source) -> bool:
        """Return whether an episode came from this file, also if it has grown since or is given by another path."""
        if source.file is None or source.digest is None:  # stored before places were kept
            return source.file is None or PurePosixPath(source.file).name == PurePosixPath(self.place).name
        short, long_ = sorted((place_stem(source.file), place_stem(self.place)), key=len)
        return source.location == self.location or (source.digest == self.digest and f"/{long_}".endswith(f"/{short}"))


def place_stem(place: str) -> str:
    """Return a place without the endings of a log's file."""
    return _SUFFIX.sub("", place)


def positional(place: str, index: int) -> str:
    """Return the id of a task that the log gives none: the shard and the position in it."""
    return f"{_without_repetition(place_stem(place))}:{index}"


def task_id_of(value: Any, path: Path, index: int) -> str:
    """Return a task's id as text, or its place where the log gives none."""
    return name_of(value) or positional(path.name, index)


def is_shard(place: str) -> bool:
    """Return whether a file is named as one of several parts: ``train-00001``, ``part-3``, ``data-00001-of-00004``."""
    return _SHARD.search(PurePosixPath(place_stem(place)).name) is not None


def origin(place: str) -> str:
    """Return the name of the arm that a file is by its place: shards and numbered repetitions of a file are one."""
    path = PurePosixPath(_without_repetition(place_stem(place)))
    return str(path.with_name(_SHARD.sub("", path.name) or "parts")) if path.name else str(path)


def _without_repetition(place: str) -> str:
    parts = []
    for part in PurePosixPath(place).parts:
        rest = _JOINTS.sub(lambda joint: joint[0][0], _REPETITION.sub("", part)).strip("-_. ")
        if rest:
            parts.append(rest)
    return "/".join(parts) or "log"


def settings_text(settings: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the settings that set an arm apart, each as ``name=value``."""
    return [
        f"{prefix}{key}={value}".replace(";", ",")
        for key, value in sorted(settings.items())
        if key in _SETTINGS and value is not None
    ]


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()[:16]
