"""Files of a checkpoint folder: regular ones inside it, with plain names; links are never followed."""

import hashlib
import os
import stat
from collections.abc import Set
from pathlib import Path, PurePosixPath

from fama.errors import BadInput
from fama.selection.router.manifest import RouterManifest

MANIFEST = "router.json"
CARD = "README.md"
FIGURE = "reliability.svg"
"""The card's figure; like the card it is for people, nothing reads it."""
HEADS = "heads.safetensors"
ADAPTER = "adapter/adapter_model.safetensors"
ADAPTER_CONFIG = "adapter/adapter_config.json"
WORK = "work"
#: Folders of which nothing is read: logs of the training, and what `hf download --local-dir` notes of its files.
_UNREAD = (f"{WORK}/", ".cache/huggingface/")
_FOR_PEOPLE = frozenset({CARD, FIGURE, ".gitattributes"})  # the last is what a model hub adds
_PICKLES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib", ".npy", ".npz", ".dill"})
_REAL_FILES = "copy the files themselves (hf download --local-dir does)"


def regular_file(folder: Path, name: str) -> Path:
    """Return the path of a file in a checkpoint folder; ``folder`` itself may be a link.

    Raises:
        BadInput: the name leaves the folder, or the file, or a folder on its way, is a link or no regular file.
        FileNotFoundError: it is not there.
    """
    path = folder
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or {".", ".."} & set(name.split("/")):
        raise BadInput(f"{folder}: {name!r} is no name of a file inside it; copy the checkpoint again")
    for place, part in enumerate(parts, 1):
        path = path / part
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) if place == len(parts) else stat.S_ISDIR(mode)):
            what = "a link, which is not followed" if stat.S_ISLNK(mode) else "no regular file"
            raise BadInput(f"{path}: {what}; {_REAL_FILES}")
    return path


def read_regular(folder: Path, name: str) -> bytes:
    """Return the content of a file in a checkpoint folder.

    Raises:
        BadInput: see ``regular_file``.
        FileNotFoundError: it is not there.
    """
    handle = os.open(regular_file(folder, name), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(handle, "rb") as file:
        return file.read()


def needed_files(manifest: RouterManifest, of_kind: Set[str]) -> set[str]:
    """Return the names of the files that a router is made of, beside its manifest; ``of_kind`` are its kind's own."""
    adapted = manifest.encoder is not None and manifest.encoder.adapted
    return {HEADS, *of_kind} | ({ADAPTER, ADAPTER_CONFIG} if adapted else set())


def check_files(folder: Path, manifest: RouterManifest, needed: Set[str]) -> dict[str, bytes]:
    """Return the content of the needed files, as the manifest has them.

    Raises:
        BadInput: the folder holds a link or a file that is no part of a router, or a file is missing, cut or changed.
    """
    _check_folder(folder, needed)
    for name in sorted(manifest.files.keys() - needed):
        raise BadInput(f"{folder / MANIFEST}: names {name!r}, which is not part of a router; copy the checkpoint again")
    contents = {}
    for name in sorted(needed):
        stored, path = manifest.files.get(name), folder / name
        try:
            size = regular_file(folder, name).stat().st_size
        except FileNotFoundError:
            stored = None
        if stored is None:
            raise BadInput(f"{path}: missing; copy the whole checkpoint again")
        if size != stored.size:
            raise BadInput(f"{path}: {size} bytes instead of {stored.size}, truncated; copy the checkpoint again")
        contents[name] = read_regular(folder, name)
        if sha256(contents[name]) != stored.sha256:
            raise BadInput(f"{path}: its SHA-256 differs from {MANIFEST}; copy the checkpoint again")
    return contents


def _check_folder(folder: Path, needed: Set[str]) -> None:
    allowed = {MANIFEST, *_FOR_PEOPLE, *needed}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(_UNREAD) or (path.is_dir() and not path.is_symlink()):
            continue
        if name in allowed or (path.is_symlink() and path.is_dir()):
            regular_file(folder, name)
            continue
        what = "a pickle or other executable format" if path.suffix.lower() in _PICKLES else "not part of a router"
        raise BadInput(f"{path}: {what}, refused; a checkpoint holds safetensors and JSON only, remove the file")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
