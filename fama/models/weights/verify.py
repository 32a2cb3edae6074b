"""Verification of a weight file: its size, and its SHA-256 once."""

import hashlib
import json
from pathlib import Path

from fama.files import write_atomically
from fama.models.weights.catalogue import LocalModel

_CHUNK = 1 << 20


def check(model: LocalModel, path: Path) -> str | None:
    """Return the fault of a weight file; None when it is the right one.

    The hash is computed once and then vouched for by a small stamp file beside the weights, which holds
    the size and time of change it was computed for.
    """
    status = path.stat()
    if status.st_size != model.size:
        return f"has {status.st_size:,} bytes instead of {model.size:,}"
    if _read_stamp(path) == _stamp(path, model.sha256):
        return None
    actual = file_hash(path)
    if actual != model.sha256:
        return f"has the SHA-256 {actual} instead of {model.sha256}"
    write_stamp(path, model.sha256)
    return None


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_stamp(path: Path, sha256: str) -> None:
    """Note beside a weight file that its hash was checked; in a read-only folder it is checked each time."""
    try:
        write_atomically(_stamp_path(path), json.dumps(_stamp(path, sha256)))
    except OSError:
        return


def _stamp_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _stamp(path: Path, sha256: str) -> dict[str, object]:
    status = path.stat()
    return {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _read_stamp(path: Path) -> object:
    try:
        value: object = json.loads(_stamp_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value
