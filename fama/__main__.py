"""``python -m fama``."""

import sys

from fama.cli import main

sys.exit(main())
