"""The failure logs that others published, for tests that read them where they are at hand."""

import os
from pathlib import Path

import pytest

#: In the folder beside the checkout where nothing else is named.
FAILURE_LOGS = Path(
    os.environ.get("FAMA_FAILURE_LOGS") or Path(__file__).parents[2].parent / "shared" / "data" / "failure_logs"
)
NO_LOGS = f"no published logs in {FAILURE_LOGS}; set FAMA_FAILURE_LOGS to their folder"
needs_logs = pytest.mark.skipif(not FAILURE_LOGS.is_dir(), reason=NO_LOGS)
