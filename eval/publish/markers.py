"""Generated tables in Markdown pages: each stands between ``<!-- table NAME -->`` and ``<!-- end NAME -->``."""

import re
from collections.abc import Callable

_BLOCK = re.compile(r"(?P<head><!-- table (?P<name>[\w-]+) -->\n).*?(?P<tail><!-- end (?P=name) -->)", re.DOTALL)


def fill_tables(page: str, make: Callable[[str], str]) -> str:
    """Return the page with what ``make`` gives for each name in place of what stood there."""
    return _BLOCK.sub(lambda match: f"{match['head']}{make(match['name']).rstrip()}\n{match['tail']}", page)
