"""The progress bar of a run: episodes done, with live success and tokens."""

from types import TracebackType

from tqdm import tqdm

from fama.agents.runs.summary import Tally
from fama.episodes.records import Episode


class Progress:
    """A bar on stderr. ``show`` None shows it on terminals only."""

    def __init__(self, total: int, tally: Tally, show: bool | None = None) -> None:
        self._tally = tally
        done = sum(tally.status.values()) - tally.status["error"]
        disable = None if show is None else not show
        self._bar = tqdm(total=total, initial=min(done, total), unit="episode", disable=disable, dynamic_ncols=True)
        self._describe()

    def add(self, episode: Episode) -> None:
        """Count a finished episode."""
        self._tally.add(episode)
        self._describe()
        self._bar.update(1)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def _describe(self) -> None:
        rate, tokens = self._tally.success_rate, self._tally.mean()
        if rate is None or tokens is None:
            return
        errors = self._tally.status["error"]
        more = f", {errors} errors" if errors else ""
        self._bar.set_postfix_str(f"success {rate:.0%}, {tokens:,.0f} tokens{more}", refresh=False)
