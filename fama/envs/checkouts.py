"""Checkouts of benchmarks that no package index carries; users name their folders once."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_config_path

from fama.errors import BadInput, Missing
from fama.files import write_atomically
from fama.hashing import content_hash
from fama.provenance import commit_of


class KnownCheckout(NamedTuple):
    """A benchmark that needs a checkout: its package, the repository, and a file that every checkout has."""

    package: str
    repository: str
    sign: str


KNOWN = {
    "acebench": KnownCheckout("model_inference", "https://github.com/ACEBench/ACEBench", "model_eval/checker.py"),
    "tau_bench": KnownCheckout("tau_bench", "https://github.com/sierra-research/tau-bench", "tau_bench/envs/base.py"),
    "tau_trait": KnownCheckout("tau_trait", "https://github.com/collinear-ai/tau-trait", "tau_trait/envs/base.py"),
}


def add(name: str, folder: Path) -> Path:
    """Remember a checkout; return the file that remembers it.

    Raises:
        BadInput: no benchmark of that name takes a checkout, or the folder is none of it.
    """
    known = _known(name)
    folder = folder.expanduser().resolve()
    if not (folder / known.sign).is_file():
        raise BadInput(f"{folder}: has no {known.sign}; give the folder of a clone of {known.repository}")
    paths = read_remembered() | {name: str(folder)}
    write_atomically(_file(), json.dumps(paths, indent=2) + "\n")
    return _file()


def read_remembered() -> dict[str, str]:
    """Return the folder of each benchmark, as users have named them."""
    try:
        value = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise BadInput(f"{_file()}: cannot be read; delete it and name your checkouts again") from None
    return {str(key): str(path) for key, path in value.items()} if isinstance(value, dict) else {}


def find_checkout(name: str) -> Path:
    """Return a benchmark's checkout: the environment variable ``FAMA_<NAME>``, else the one that was added.

    Raises:
        BadInput: the benchmark takes none, or it is not there any more.
        Missing: none is known.
    """
    known = _known(name)
    named = os.environ.get(f"FAMA_{name.upper()}") or read_remembered().get(name)
    if named is None:
        raise Missing(
            f"benchmark {name}: its code is not on the package index; clone {known.repository}, "
            f"then: fama benchmarks add {name} PATH"
        )
    folder = Path(named)
    if not (folder / known.sign).is_file():
        raise BadInput(f"{folder}: no checkout of {name} any more; fama benchmarks add {name} PATH")
    return folder


def on_path(name: str) -> Path:
    """Make a benchmark's package importable, ahead of any other of its name; returns the checkout.

    Raises:
        BadInput: there is no checkout, or another one is imported already.
    """
    folder, package = find_checkout(name), _known(name).package
    loaded = getattr(sys.modules.get(package), "__file__", None)
    if loaded and not Path(loaded).resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"benchmark {name}: another {package} is imported already, from {loaded}; use one per process")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def version_of(name: str) -> str:
    """Return the checkout's commit, marked where files differ from it; a hash of its Python files where it has none.

    Raises:
        BadInput: there is no checkout.
    """
    folder = find_checkout(name)
    commit = commit_of(folder, length=12)
    if commit is not None:
        return f"{name}-{commit}"
    package = folder / _known(name).package
    texts = {str(p.relative_to(package)): p.read_text(encoding="utf-8") for p in sorted(package.rglob("*.py"))}
    return f"{name}-{content_hash(texts)}"


def _known(name: str) -> KnownCheckout:
    if name not in KNOWN:
        raise BadInput(f"benchmark {name!r} takes no checkout; those that do: {', '.join(KNOWN)}")
    return KNOWN[name]


def _file() -> Path:
    return Path(os.environ.get("FAMA_CONFIG_DIR") or user_config_path("fama")) / "checkouts.json"
