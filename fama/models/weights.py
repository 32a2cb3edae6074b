"""Where weights live on this machine, and whether they are the right ones."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from fama.errors import BadInput
from fama.models.catalogue import LocalModel, find

CACHE_ENV = "FAMA_CACHE"
_CHUNK = 1 << 20


def cache_folder() -> Path:
    """The folder of the weights: ``$FAMA_CACHE/models``, or that of the user's cache."""
    override = os.environ.get(CACHE_ENV)
    if override:
        return Path(override) / "models"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("fama")) / "models"


def resolve(name: str) -> Path:
    """The file behind a model's name; a path ending in ``.gguf`` stands for itself.

    Raises:
        BadInput: an unknown name, weights that are not here, or a file that is not the right one.
    """
    if name.endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise BadInput(f"{path}: no such file; give the path of a .gguf file or a name of `fama models list`")
        return path
    model = find(name)
    path = cache_folder() / model.file
    if not path.is_file():
        raise BadInput(f"the weights of {name} are not on this machine; fetch them with `fama models pull {name}`")
    problem = check(model, path)
    if problem:
        raise BadInput(f"{path}: {problem}; delete it and run `fama models pull {name}`")
    return path


def is_present(model: LocalModel) -> bool:
    """Whether weights of the right size are in the cache; their hash is not looked at."""
    path = cache_folder() / model.file
    return path.is_file() and path.stat().st_size == model.size


def check(model: LocalModel, path: Path) -> str | None:
    """What is wrong with a weight file; None when it is the right one.

    The hash is computed once and then vouched for by a small stamp file beside the weights, which holds
    the size and time of change it was computed for.
    """
    status = path.stat()
    if status.st_size != model.size:
        return f"has {status.st_size:,} bytes instead of {model.size:,}"
    stamp = _stamp_of(path)
    seen = {"sha256": model.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    if _read_stamp(stamp) == seen:
        return None
    found = file_hash(path)
    if found != model.sha256:
        return f"has the SHA-256 {found} instead of {model.sha256}"
    write_stamp(path, model.sha256)
    return None


def file_hash(path: Path, progress: Callable[[int], object] | None = None) -> str:
    """The SHA-256 of a file; ``progress`` is told the bytes of each piece read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return digest.hexdigest()


def write_stamp(path: Path, sha256: str) -> None:
    """Note beside a weight file that its hash was checked; a read-only folder is no error."""
    status = path.stat()
    seen = {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    stamp = _stamp_of(path)
    temporary = stamp.with_name(f"{stamp.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(seen), encoding="utf-8")
        os.replace(temporary, stamp)
    except OSError:
        return


def _stamp_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read_stamp(stamp: Path) -> object:
    try:
        value: object = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value
