"""Run every timing script once, one after the other, and note the seconds and the limits of each.

    python perf/tier/run.py --folder runs/perf

Each script runs in a process of its own with its defaults and writes its measurement into ``--folder``; with
``--folder perf/results`` the tables of docs/performance.md are made from it. A script that states limits ends with exit
code 1 where one is passed. One that writes no measurement has failed: it is named, the others run all the same, and the
exit code is 1. The local models that two scripts ask are downloaded before (``fama models pull qwen2.5-coder-1.5b``).
Nothing else should run meanwhile: the machine's load before each script is noted, too. The rows are written after every
script; with ``--only`` those of other scripts stay, so that a tier that was stopped goes on.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from perf.record import RESULTS, ROOT, environment, parser, save

SCRIPTS = (
    "import_speed",
    "store_speed",
    "replay_speed",
    "loop_overhead",
    "profiles",
    "serving_speed",
    "decision_speed",
    "serve_load",
    "training_speed",
    "helper_prompts",
    "prefix_reuse",
)
LimitsKept = Literal["kept", "not kept", "none stated", "failed"]


def run_script(script: str, folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a script; return its row: seconds, whether it kept its limits or failed, and the load of a minute before.

    ``folder`` is relative to the repository.
    """
    load = round(os.getloadavg()[0], 1)
    out = folder / f"{script}.json"
    made = ROOT / out
    made.unlink(missing_ok=True)
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "perf" / f"{script}.py"), "--out", str(out), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="", flush=True)
    limits: LimitsKept = "none stated"
    if not made.exists() or done.returncode not in (0, 1):
        limits = "failed"
    elif done.stdout.splitlines()[-1].startswith("limits"):
        limits = "not kept" if done.returncode else "kept"
    return {"what": script, "seconds": round(time.perf_counter() - start), "limits": limits, "load before": load}


def earlier(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a file that is there, by script."""
    if not out.exists():
        return {}
    return {row["what"]: row for row in json.loads(out.read_text(encoding="utf-8"))["rows"]}


def main() -> int:
    """Run all, write; exit 1 when a script failed."""
    args = parser(__doc__)
    args.add_argument("--folder", type=Path, required=True, help="folder that gets the measurements")
    args.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS, metavar="SCRIPT", help="run these alone")
    args.add_argument("--arguments", default="", help="more arguments for each, in one text, for a try")
    wanted = args.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(os.path.relpath(wanted.folder, ROOT))  # the scripts run there, wherever this one was started
    out = wanted.out or RESULTS / "tier.json"
    known = {} if wanted.only == SCRIPTS else earlier(out)
    for script in wanted.only:
        print(f"== {script}", flush=True)
        known[script] = run_script(script, folder, shlex.split(wanted.arguments))
        rows = [known[name] for name in SCRIPTS if name in known]
        total = sum(row["seconds"] for row in rows)
        save("tier", rows, (), out, f"{len(rows)} scripts, {total / 60:.1f} minutes in all")
    return int(any(known[script]["limits"] == "failed" for script in wanted.only))


if __name__ == "__main__":
    sys.exit(main())
