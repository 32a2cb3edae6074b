"""Commands, an advisor and the endpoint in one process, a program of its own that imports ``fama`` alone.

Its one argument is JSON: ``blocked`` modules, which cannot be imported, ``commands`` to run, ``checkpoint``,
``messages`` and ``tools`` to advise on, and the words of ``serve``. It prints one line of JSON, the exit codes with the
last line of errors and the advice, and then serves until it is stopped.
"""

import contextlib
import importlib
import io
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Absent:
    """A finder that finds nothing of some libraries, as where they are not installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def main(wanted: dict[str, list[str]]) -> int:
    sys.meta_path.insert(0, Absent(wanted["blocked"]))
    fama, cli = importlib.import_module("fama"), importlib.import_module("fama.cli")
    helpers = importlib.import_module("fama.settings").HelperSettings(reading="patterns")
    codes = []
    for words in wanted["commands"]:
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(words)
        codes.append((code, errors.getvalue().strip().rpartition("\n")[2] if code else ""))
    with fama.Advisor(wanted["checkpoint"], helpers=helpers) as advisor:
        advice = advisor.advise(wanted["messages"], wanted["tools"])
    told = {"file": fama.__file__, "codes": codes, "subset": advice.subset, "probabilities": advice.probabilities}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    return int(cli.main(wanted["serve"]))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
