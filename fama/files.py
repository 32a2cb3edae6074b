"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fama.errors import BadInput
from fama.redaction import redact


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, with its ending; after the block it is synced and takes its place.

    A reader sees the old file or the new one, never a part. When the block raises, the old one stays and
    the temporary one is removed. Folders are made as needed.

    Raises:
        BadInput: ``path`` is a device, a pipe or a socket, of which a file would take the place.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise BadInput(f"{path}: is a device or a pipe, not a file; give the path of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.tmp-{path.name}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporary(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder; for its one owner only."""
    for path in folder.glob(".????????.tmp-*"):
        path.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by text (as UTF-8, without keys) or bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(redact(content).encode("utf-8") if isinstance(content, str) else content)
