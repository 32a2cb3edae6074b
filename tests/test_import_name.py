"""The repository is called like the package: a clone in a folder ``fama`` works from the folder above."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """\
from fama import __version__
from fama.settings import RunSettings
import eval, fama, training

print(fama.__file__, training.__file__, eval.__file__, __version__, RunSettings().domain)
"""


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree in a folder ``fama``."""
    clone = tmp_path_factory.mktemp("above") / "fama"
    clone.mkdir()
    for name in ("fama", "training", "eval"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def python(clone: Path) -> str:
    """The interpreter of an environment in which the clone is installed as ``pip install -e .`` does it."""
    wheels, venv = clone.parent / "wheels", clone.parent / "venv"
    build = f"from setuptools.build_meta import build_editable; build_editable({str(wheels)!r})"
    built = run(sys.executable, "-c", build, cwd=clone)
    assert built.returncode == 0, built.stderr
    assert run(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=clone.parent).returncode == 0
    packages = next((venv / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(packages)
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "libraries.pth").write_text("\n".join(libraries), encoding="utf-8")  # their own .pth files are not read
    return str(venv / "bin" / "python")


def test_a_script_beside_the_clone_imports_the_package(clone: Path, python: str) -> None:
    (clone.parent / "use.py").write_text(SCRIPT, encoding="utf-8")
    done = run(python, "use.py", cwd=clone.parent)
    assert done.returncode == 0, done.stderr
    wanted = [str(clone / name / "__init__.py") for name in ("fama", "training", "eval")]
    assert done.stdout.split()[:3] == wanted and done.stdout.split()[4] == "shop"


def test_the_command_runs_from_the_folder_above(clone: Path, python: str) -> None:
    done = run(python, "-m", "fama", "--version", cwd=clone.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("fama ")


def test_a_wheel_ships_the_runtime_only(clone: Path) -> None:
    wheels = clone.parent / "built"
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(wheels)!r})"
    built = run(sys.executable, "-c", build, cwd=clone)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fama"}
    assert {"fama/py.typed", "fama/cli.py", "fama/models/prices.yaml", "fama/prompts/agents/act.v1.j2"} <= {*names}
