"""The package as people install it: what works with core dependencies alone, and what names the extra it lacks."""

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import httpx
import pytest

from fama.errors import EXTRAS, BadInput, missing_extra, optional_libraries
from tests.support.browsing import free_port
from tests.support.order_requests import LOOKED_UP, TOOLS
from tests.support.serving import ScriptedUpstream, plain

ROOT = Path(__file__).resolve().parents[1]
LINEAR, ENCODER = (ROOT / "checkpoints" / name for name in ("helpdesk-linear", "helpdesk-encoder"))
PATTERNS, STATIC = "helpers.reading=patterns", "helpers.reading=static"
#: Of other extras, each with an error of its own.
OTHERS = ("ray", "nicegui", "tau2", "litellm", "inspect_ai", "vllm", "duckdb")


def run(folder: Path, *words: str) -> list[str]:
    """Two helpdesk tasks with the scripted model that repeats the user."""
    scripted = ["model.name=scripted:echo", "strategy=fc", "placement=user", "tasks=2"]
    return ["run", *scripted, *words, "--out", str(folder)]


def use(python: str, cwd: Path, commands: list[list[str]], blocked: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run commands, an advisor and ``fama serve`` with the linear router in one process; return what it printed.

    The endpoint is sent one request, which has to reach the upstream.
    """
    up = ScriptedUpstream()
    port = free_port()
    with plain(up.app) as address:
        serve = ["serve", "--router", str(LINEAR), "--upstream", f"{address}/v1", "--port", str(port), STATIC]
        wanted: dict[str, Any] = {"blocked": blocked, "commands": commands, "checkpoint": str(LINEAR), "serve": serve}
        wanted |= {"messages": LOOKED_UP, "tools": TOOLS}
        script = str(ROOT / "tests/support/core_use.py")
        process = subprocess.Popen(
            [python, "-P", script, json.dumps(wanted)],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            reply = _asked(process, f"http://127.0.0.1:{port}")
            process.send_signal(signal.SIGTERM)
            printed, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert reply.headers["x-fama-notes"] in ("0", "1") and reply.json()["choices"][0]["message"]["content"] == "Fine."
    assert len(up.asked) == 1
    told: dict[str, Any] = json.loads(printed)
    assert reply.headers["x-fama-subset"] == ",".join(told["subset"]), "the endpoint and the advisor choose alike"
    return told


def _asked(process: "subprocess.Popen[str]", address: str) -> httpx.Response:
    until = time.monotonic() + 60
    while True:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(process.communicate()[1])
        try:
            httpx.get(f"{address}/health")
            break
        except httpx.ConnectError:
            time.sleep(0.05)
    body = {"model": "m", "messages": LOOKED_UP, "tools": TOOLS}
    return httpx.post(f"{address}/v1/chat/completions", json=body, timeout=30)


def test_core_dependencies_run_score_diagnose_mine_advise_and_serve(tmp_path: Path) -> None:
    arm, plain_arm, by_words, by_meaning = (tmp_path / name for name in ("arm", "plain", "by-words", "by-meaning"))
    labels = f"[{{failures: {tmp_path}/labels/failures.jsonl, episodes: {arm}}}]"
    train = ["train", f"data.failures={labels}", "losses={outcome: 0, tokens: 0, coverage: 1}"]
    encoder = "pip install 'fama-router[encoder]'"
    expected = [
        (run(arm, PATTERNS, "selector.name=all"), 0, ""),
        (run(plain_arm, PATTERNS, "tasks=1"), 0, ""),
        (run(by_words, STATIC, "selector.name=all"), 0, ""),
        (["score", str(arm)], 0, ""),
        (["diagnose", str(arm), "--out", f"{tmp_path}/labels"], 0, ""),
        (
            ["mine", str(plain_arm), "helpers={pool: [Verifier], reading: patterns}", "--out", f"{tmp_path}/repairs"],
            0,
            "",
        ),
        (["select", "--router", str(LINEAR), "--episodes", str(arm)], 0, ""),
        (run(tmp_path / "plain-by-meaning", "tasks=1"), 0, ""),
        (
            run(by_meaning, "selector.name=all"),
            2,
            f"fama: helpers.reading: meaning needs torch; {encoder}, or set {STATIC}",
        ),
        (["select", "--router", str(ENCODER), "--episodes", str(arm)], 2, f"fama: fama select needs torch; {encoder}"),
        (
            [*train, "kind=linear", "--out", f"{tmp_path}/linear"],
            2,
            "fama: fama train needs sklearn; pip install 'fama-router[train]' or 'fama-router[eval]'",
        ),
        (
            [*train, "kind=encoder", "--out", f"{tmp_path}/encoder"],
            2,
            "fama: fama train needs lightning; pip install 'fama-router[train]'",
        ),
    ]
    told = use(sys.executable, ROOT, [words for words, _, _ in expected], (*EXTRAS, *OTHERS))
    assert told["codes"] == [[code, line] for _, code, line in expected]
    assert not by_meaning.exists(), "nothing is written before the encoder is missed"
    assert len(told["probabilities"]) == 6


def declared() -> dict[str, set[str]]:
    """Distributions by extra, with those of the extras that an extra names; ``core`` has none of them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {"core": project["dependencies"], **project["optional-dependencies"]}
    names = {extra: {re.split(r"[\[<>=]", line)[0] for line in lines} for extra, lines in wanted.items()}
    for extra, lines in wanted.items():
        for inner in re.findall(r"fama-router\[([^]]+)\]", " ".join(lines)):
            names[extra] |= set().union(*(names[one] for one in inner.split(",")))
    return names


def test_every_optional_module_is_in_the_extras_that_are_named_for_it() -> None:
    known, homes = declared(), packages_distributions()
    normal = {extra: {name.replace("_", "-").lower() for name in names} for extra, names in known.items()}
    for module, extras in EXTRAS.items():
        names = {name.replace("_", "-").lower() for name in homes[module]}
        assert not names & normal["core"], f"{module} is a core dependency"
        assert all(names & normal[extra] for extra in extras), f"{module} is not in {extras}"
        assert names & normal["dev"], f"make setup lacks {module}"


def test_other_failed_imports_stay_what_they_are() -> None:
    assert missing_extra(ModuleNotFoundError("x", name="fama.nowhere")) is None
    assert missing_extra(ImportError("cannot import name 'x' from 'torch'", name="torch")) is None
    with pytest.raises(ModuleNotFoundError), optional_libraries("this"):
        raise ModuleNotFoundError("x", name="nowhere")
    with pytest.raises(BadInput, match=r"this needs torch; pip install 'fama-router\[encoder\]', or wait"):
        with optional_libraries("this", "wait"):
            raise ModuleNotFoundError("x", name="torch.nn")


@pytest.mark.slow
@pytest.mark.network
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=_copy(tmp_path / "tree"), check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" not in name} == {"fama"}
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True)
    installed = {row["name"].replace("_", "-").lower() for row in json.loads(listed.stdout)}
    assert not installed & ((declared()["train"] | declared()["eval"]) - {"fama-router"})

    needs = "fama: this command needs the folder {}/ of a checkout; install with: pip install -e ."
    expected = [
        (run(tmp_path / "arm", PATTERNS, "selector.name=all"), 0, ""),
        (["import", "auto", str(tmp_path / "arm"), "--out", str(tmp_path / "again")], 2, None),
        (["score", "arm"], 2, needs.format("eval")),
        (["train"], 2, needs.format("training")),
        (
            run(tmp_path / "by-meaning", "selector.name=all"),
            2,
            f"fama: helpers.reading: meaning needs torch; pip install 'fama-router[encoder]', or set {PATTERNS}",
        ),
    ]
    told = use(python, tmp_path, [words for words, _, _ in expected])
    for (_, code, line), (was, said) in zip(expected, told["codes"], strict=True):
        assert was == code and line in (None, said)
    assert str(venv) in told["file"] and len(told["probabilities"]) == 6
    with_command = subprocess.run([str(venv / "bin/fama"), "--version"], capture_output=True, text=True, check=True)
    assert with_command.stdout.startswith("fama ")


def _copy(tree: Path) -> Path:
    """Copy the sources of a wheel, so that nothing is built in the checkout."""
    import shutil

    tree.mkdir()
    shutil.copytree(ROOT / "fama", tree / "fama", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    return tree
