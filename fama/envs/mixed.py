"""Several domains of a benchmark as one: tasks take turns, each in its own domain's world (``domain: shop+saas``)."""

from collections.abc import Sequence
from itertools import chain, combinations, zip_longest

from fama.envs.base import Benchmark, Environment, UserModel
from fama.episodes.records import Message
from fama.errors import BadInput
from fama.settings import domains_of


class MixedDomains:
    """A benchmark that also takes domains joined by ``+``; a single domain is the benchmark's own."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.name = benchmark.name
        self._benchmark: Benchmark = benchmark._benchmark if isinstance(benchmark, MixedDomains) else benchmark
        self._listed: dict[tuple[str, str], frozenset[str]] = {}

    def version(self, domain: str) -> str:
        """Return the version that all the domains have, or theirs joined by ``+``.

        Raises:
            BadInput: a domain is unknown.
        """
        return "+".join(dict.fromkeys(self.versions(domain).values()))

    def versions(self, domain: str) -> dict[str, str]:
        """Return the version of each single domain: what its episodes are of.

        Raises:
            BadInput: a domain is unknown.
        """
        return {part: self._benchmark.version(part) for part in domains_of(domain)}

    def domains(self) -> Sequence[str]:
        """Return the names of the single domains."""
        return self._benchmark.domains()

    def splits(self, domain: str) -> Sequence[str]:
        """Return the splits that all the domains have.

        Raises:
            BadInput: a domain is unknown.
        """
        parts = [self._benchmark.splits(part) for part in domains_of(domain)]
        return tuple(split for split in parts[0] if all(split in other for other in parts))

    def task_ids(self, domain: str, split: str) -> Sequence[str]:
        """Return the domains' tasks, one of each in turn.

        Raises:
            BadInput: a domain or the split is unknown, or two domains have a task of one id, in whatever split.
        """
        parts = [self._benchmark.task_ids(part, split) for part in domains_of(domain)]
        for one, other in combinations(domains_of(domain), 2):
            if any(self._ids(one, a) & self._ids(other, b) for a in self.splits(one) for b in self.splits(other)):
                raise BadInput(f"domain: {domain} of {self.name} have tasks of the same id; run one domain at a time")
        return tuple(one for one in chain.from_iterable(zip_longest(*parts)) if one is not None)

    def domain_of(self, domain: str, task_id: str) -> str:
        """Return the domain that a task is of.

        Raises:
            BadInput: no domain has it.
        """
        parts = domains_of(domain)
        if len(parts) == 1:
            return domain
        for part in parts:
            if any(task_id in self._ids(part, split) for split in self._benchmark.splits(part)):
                return part
        reasons = []
        for part in parts:  # ids beyond the listed ones
            try:
                self._benchmark.environment(part, task_id)
            except BadInput as error:
                reasons.append(str(error))
                continue
            return part
        told = "; ".join(dict.fromkeys(reasons))
        raise BadInput(f"{self.name}: no domain of {domain} has a task {task_id!r} ({told})")

    def _ids(self, domain: str, split: str) -> frozenset[str]:
        if (domain, split) not in self._listed:
            self._listed[domain, split] = frozenset(self._benchmark.task_ids(domain, split))
        return self._listed[domain, split]

    def environment(self, domain: str, task_id: str, user: UserModel | None = None) -> Environment:
        """Return a fresh world for a task, of its own domain.

        Raises:
            BadInput: no domain has the task, or the benchmark needs a user model and gets none.
        """
        return self._benchmark.environment(self.domain_of(domain, task_id), task_id, *([] if user is None else [user]))

    def demonstrations(self, domain: str) -> Sequence[Sequence[Message]]:
        """Return the conversations of a single domain.

        Raises:
            BadInput: the domain is unknown.
        """
        return self._benchmark.demonstrations(domain)
