"""Provenance of a file: the checkout's commit, versions of libraries, the command line."""

import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fama
from fama.redaction import redact

_LIBRARIES = ("torch", "transformers", "peft", "lightning", "scikit-learn", "lightgbm", "numpy", "safetensors")


@cache
def git_commit() -> str | None:
    """Return this checkout's commit, with ``-dirty`` when files differ from it; None outside a checkout."""
    return commit_of(Path(fama.__file__).resolve().parents[1])


def commit_of(folder: Path, length: int = 40) -> str | None:
    """Return a checkout's commit, with ``-dirty`` when files differ from it.

    None where the folder is no checkout: a folder inside another one's is not.
    """
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", f"--abbrev={length}", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def library_versions() -> dict[str, str]:
    """Return the versions of Python, of this package and of the installed libraries that training uses."""
    return dict(_library_versions())


@cache
def _library_versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "fama": fama.__version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def arguments_given() -> list[str]:
    """Return the arguments of the command line; bytes of a name that are no UTF-8 as escapes, to be kept in a file."""
    return [word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for word in sys.argv[1:]]


def command_line() -> str:
    """Return what was typed, with the program's name in place of its path and without keys."""
    return redact(shlex.join(["fama", *arguments_given()]))
