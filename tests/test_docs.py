"""README and docs: short, with links, paths and commands that exist; the layout page knows every layer and folder."""

import argparse
import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from eval.compare.questions import check_questions
from fama.cli import COMMANDS
from fama.config import read_settings
from fama.settings import CompareSettings

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
LAYOUT = ROOT / "docs/design/layout.md"
CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = sorted([README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
#: Words that README may have before its file tree.
MOST_WORDS = 800
#: Words that the page of results may have, tables included.
MOST_WORDS_OF_RESULTS = 2500
#: Python packages: the folders that the layout page lists.
PACKAGES = ("fama", "training", "eval", "perf")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_FOLDERS = "fama|training|eval|perf|configs|checkpoints|results|tests|docs"
#: A file of this repository in back quotes. Templates such as ``fama/helpers/X.py`` and ``paper-*.yaml`` are not files.
_PATH = re.compile(rf"`((?:{_FOLDERS})/[\w./-]+\.(?:py|sh|yaml|json|md|svg|png|j2|parquet|gz))`")
#: A script, config or checkpoint of this repository in a command.
_ARGUMENT = re.compile(r"(?<![\w/.-])((?:configs|checkpoints|perf|eval)/[\w./-]*\w)")
_MODULE = re.compile(r"python -m ((?:fama|training|eval|perf)[\w.]*)")
#: A code block: its language and its text.
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def shell(text: str) -> list[str]:
    """Code blocks of the shell, and those of no language."""
    return [block for language, block in _FENCE.findall(text) if language in ("", "bash", "sh")]


def commands(text: str, program: str) -> list[str]:
    """Commands of a page that start with a program: lines of code blocks and code in sentences."""
    lines = [line for block in shell(text) for line in block.splitlines()]
    lines += [" ".join(code.split()) for code in _INLINE.findall(_FENCE.sub("", text))]
    return [line.partition(" #")[0].strip() for line in lines if line.startswith(f"{program} ")]


def source_of(module: str) -> str:
    return Path(import_module(module).__file__ or "").read_text(encoding="utf-8")


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"fama {command}", exit_on_error=False)
    import_module(COMMANDS[command][0]).add_arguments(parser)
    return parser


def flags_of(command: str) -> set[str]:
    """Flags of a command and of its own commands, as ``fama models serve`` has them."""
    flags, parsers = set[str](), [parser_of(command)]
    while parsers:
        for action in parsers.pop()._actions:
            flags.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    return flags


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, without its head."""
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_readme_is_short() -> None:
    before, _, after = read(README).partition("## Where things are")
    assert after
    assert 300 < len(before.split()) <= MOST_WORDS


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=name_of)
def test_links_exist(page: Path) -> None:
    links = [link for link in _LINK.findall(read(page)) if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_exist(page: Path) -> None:
    paths = [path for path in _PATH.findall(read(page)) if "/X." not in path and "politeness" not in path]
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_have_the_flags_and_files_that_pages_give_them(page: Path) -> None:
    text = read(page)
    unknown = []
    for line in commands(text, "fama"):
        command, *words = line.split()[1:]
        flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        if re.fullmatch(r"[a-z]+", command) and (command not in COMMANDS or flags - flags_of(command)):
            unknown.append(line)
    for line in [line for program in ("fama", "python", ".venv/bin/python") for line in commands(text, program)]:
        unknown += [path for path in _ARGUMENT.findall(line) if "/X." not in path and not (ROOT / path).exists()]
    for module in _MODULE.findall(text):
        path = ROOT / module.replace(".", "/")
        unknown += [] if path.with_suffix(".py").is_file() or (path / "__main__.py").is_file() else [module]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_comparisons_of_pages_ask_about_arms_that_they_have(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that a page lays over a config may drop an arm that the config asks about."""
    monkeypatch.chdir(ROOT)
    for line in commands(read(page), "fama compare"):
        if "--config configs/" in line and not re.search(r"/X|[*\\<]", line):
            words = shlex.split(line)[2:]
            settings = read_settings(parser_of("compare").parse_intermixed_args(words), CompareSettings)
            assert settings is not None
            check_questions(settings)


def test_every_command_of_readme_parses() -> None:
    block = [line for text in shell(read(README)) for line in text.splitlines() if line.startswith("fama ")]
    assert len(block) >= 10
    for line in block:
        _, command, *words = shlex.split(line)
        parser_of(command).parse_intermixed_args(words)
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        parser_of("report").parse_intermixed_args(["runs/comparison", "--no-such-flag"])


@pytest.mark.parametrize("page", ["README.md", "docs/README.md"])
def test_the_pages_say_which_commands_have_settings(page: str) -> None:
    having = {name for name in COMMANDS if "--config" in flags_of(name)}
    stated = re.search(r"((?:`[\w-]+`, )+`\w+` and `\w+`) read", " ".join(read(ROOT / page).split()))
    assert stated is not None
    assert set(_INLINE.findall(stated[1])) == having
    if page == "README.md":
        assert f"Nine of {len(COMMANDS)} commands have typed settings" in " ".join(read(README).split())
        assert len(having) == 9
    else:
        assert {name for name in COMMANDS if f"`{name}`" not in read(ROOT / page)} == set()


def test_the_page_of_settings_names_the_classes_that_commands_read() -> None:
    """Each row of the table: commands, the class that their module reads, the file that defines it."""
    told = {
        command: (re.findall(r"`(\w+)`", names)[0], file.strip("`"))
        for commands, names, file in rows(read(ROOT / "docs/settings.md"), "Which command reads which")
        for command in re.findall(r"`([\w-]+)`", commands)
    }
    for command, (name, file) in told.items():
        assert f"read_settings(args, {name})" in source_of(COMMANDS[command][0]), command
        assert f"class {name}(" in read(ROOT / file), command
    readers = {command for command, (module, _) in COMMANDS.items() if "read_settings(args" in source_of(module)}
    assert told.keys() == readers


def test_results_are_short() -> None:
    assert 1000 < len(read(ROOT / "docs/results.md").split()) <= MOST_WORDS_OF_RESULTS


def test_the_index_lists_every_page() -> None:
    for index, folders in ((ROOT / "docs/README.md", (".", "results")), (ROOT / "docs/design/README.md", (".",))):
        listed = {(index.parent / link).resolve() for link in _LINK.findall(read(index))}
        pages = [page for folder in folders for page in (index.parent / folder).glob("*.md") if page != index]
        assert [name_of(page) for page in pages if page.resolve() not in listed] == []


def test_the_layout_page_has_the_layers_of_the_contract_in_their_order() -> None:
    contracts = tomllib.loads(read(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one.get("containers") == ["fama"]]
    layers = [sorted(layer.split(" | ")) for layer in contract["layers"]]
    stated = [sorted(_INLINE.findall(cells[0])) for cells in rows(read(LAYOUT), "The layers of fama")]
    assert stated == layers


def test_the_tasks_of_a_newcomer_name_what_is_in_their_files() -> None:
    wrong = []
    for task, cell in rows(read(LAYOUT), "Tasks of a newcomer"):
        codes = _INLINE.findall(cell)
        here = "".join(read(ROOT / code) for code in codes if code.endswith(".py") and (ROOT / code).is_file())
        names = [name for code in codes if re.fullmatch(r"\w+(\.\w+)?(?<!\.md)", code) for name in code.split(".")]
        wrong += [
            f"{task}: {name}"
            for name in names
            if name not in PACKAGES and not re.search(rf"(?m)^\s*(?:(?:async )?def |class )?{name}\b", here)
        ]
    assert wrong == []


def test_the_layout_page_has_every_folder_and_its_modules_exist() -> None:
    stated = {
        _INLINE.findall(folder)[0]: _INLINE.findall(modules)
        for folder, modules in rows(read(LAYOUT), "Modules by folder")
    }
    here = {
        name_of(path.parent)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert stated.keys() == here - {"fama"}
    wrong = [
        f"{folder}/{name}"
        for folder, names in stated.items()
        for name in names
        if not (ROOT / folder / f"{name}.py").exists()
    ]
    assert wrong == []
