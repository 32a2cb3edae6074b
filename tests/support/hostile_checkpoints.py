"""Checkpoints that are changed and sealed again, and how they are to end: numbers, or one line."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fama.errors import BadInput
from fama.selection.router.checkpoint import load_router
from fama.selection.router.features import featurise
from training.data.synthetic import make_tasks

STATE = make_tasks(1, seed=3)[0].state


def reseal(folder: Path, manifest: dict[str, Any] | None = None) -> None:
    """Write the manifest with hashes that fit the files."""
    manifest = manifest or json.loads((folder / "router.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "router.json").write_text(json.dumps(manifest))


def copy_of(router: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(router, folder)
    return folder


def decides_or_is_refused(folder: Path) -> bool:
    """Return whether it decides; what it says then are numbers."""
    try:
        router = load_router(folder)
    except BadInput as error:
        assert "\n" not in str(error) and str(folder) in str(error)
        return False
    choice = router.choose(featurise(STATE))
    assert np.isfinite([choice.success, choice.tokens, *choice.probabilities]).all()
    return True


BAD_NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), -1, 0, -1e300, 1e300, 10**30, 2**40, None, "x", [], True)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [found for key, value in tree.items() for found in places(value, (*path, key))]
    return [path] if isinstance(tree, int | float) else []
