"""One logged episode as a world of schedules: probes and runs executed, remembered and recorded."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fama.agents.decision import Decided
from fama.agents.loop import OUT_OF_TIME, action_message
from fama.agents.strategies.base import STRATEGIES, action_json
from fama.envs.base import Action
from fama.episodes.records import Decision, Episode, LedgerRow, total_tokens
from fama.episodes.spending import Remaining, spent_from
from fama.episodes.state import RESPOND
from fama.errors import FamaError, ModelError
from fama.mining.bench import Bench
from fama.mining.meter import Meter, OutOfBudget
from fama.mining.records import Combination, Intervention, ProbeOutcome, placed
from fama.mining.replay import Replay, logged_action, said_alike
from fama.mining.schedule import NOTHING, Schedule, SchedulePoint, asked_turns, full_schedule, points_at
from fama.mining.search.base import Effect, Run
from fama.models.client import ContextOverflow
from fama.subsets import Subset, base_of, one_form_each


class Refused(FamaError):
    """An episode that cannot be mined, with the place; it is not recorded, so that it can be tried again."""


class Unanswered(Refused):
    """An episode in which a model failed before any had answered: its server is gone, and it may be mined later."""


@dataclass(frozen=True)
class _Probe:
    decisions: tuple[Decided, ...]
    effect: Effect
    tokens: int | None
    ledger: tuple[LedgerRow, ...]


@dataclass(frozen=True)
class _Executed:
    run: Run
    episodes: tuple[Episode, ...]

    @property
    def known(self) -> bool:
        """Return whether enough continuations ended by themselves, at least half of them, to tell what comes of it."""
        return 2 * len(_ended(self.episodes)) >= len(self.episodes)


class EpisodeWorld:
    """Executes what a search asks about one episode. See ``World`` for the contract.

    Raises:
        Refused: the replay is not the logged episode, or a model failed.
        OutOfBudget: the episode's budget is spent.
    """

    def __init__(self, bench: Bench, log: Episode, meter: Meter) -> None:
        self.log = log
        self.pool = bench.pool
        self.steps = bench.settings.limits.steps
        self.draws = bench.mine.continuations
        self._helped = bench.mine.base == "selector"
        self._strategy = STRATEGIES.load(bench.settings.strategy)()
        self.base_share: float | None = None
        self._bench = bench
        self._meter = meter
        self._probes: dict[tuple[Schedule, int, Subset], _Probe] = {}
        self._runs: dict[Schedule, _Executed] = {}

    @property
    def calls(self) -> int:
        """Return the distinct model calls so far."""
        return self._meter.calls

    @property
    def all_asked(self) -> Schedule:
        """Return the schedule that asks the whole pool everywhere; of an arm, at the logged decisions it did not."""
        if not self._helped:
            return full_schedule(self.steps, self.pool)
        return frozenset(
            SchedulePoint(decision.turn, name)
            for decision in self.log.decisions
            for name in one_form_each(self.pool)
            if base_of(name) not in {base_of(asked) for asked in decision.subset}
        )

    @property
    def deterministic(self) -> bool:
        """Return whether a branch run once is all there is to it: nothing of the backbone is drawn."""
        return self.draws == 1 and self._bench.settings.model.temperature == 0

    async def open(self) -> None:
        """Replay the logged episode without any note: every observation and the outcome must come back equal.

        Raises:
            Refused: something differs.
        """
        replay = Replay(self.log)
        again = await self._bench.execute(NOTHING, replay, self._meter)
        if again.outcome.status == "error":
            raise Refused(replay.difference or f"the replay fails: {again.outcome.reason}")
        if len(again.messages) < len(self.log.messages):
            raise Refused(f"message {len(again.messages)}: the replay has ended before it ({again.outcome.reason})")
        for index, (now, then) in enumerate(zip(again.messages, self.log.messages, strict=True)):
            if not said_alike(now, then):
                raise Refused(f"message {index}: not as in the log")
        if (again.outcome, again.reward) != (self.log.outcome, self.log.reward):
            ended = f"{again.outcome.status} ({again.outcome.reason}), reward {again.reward}"
            raise Refused(f"the replay ends in {ended}, the log in {self.log.outcome.status}, {self.log.reward}")
        solved = self.log.outcome.status == "success"
        self._runs[NOTHING] = _Executed(
            Run(solved, float(solved), NOTHING, len(self.log.decisions), 0), (self.log,) * self.draws
        )
        if self.draws > 1:
            plain = await self._execute(NOTHING)
            if not plain.known:
                raise Refused(f"its plain continuations break off: {_ending(plain)[1]}")
            self.base_share = plain.run.share

    async def probe(self, given: Schedule, turn: int, members: Subset) -> Effect:
        """Ask helpers before one decision of the run of ``given``; the backbone only where a note passed."""
        key = (given, turn, members)
        if key not in self._probes:
            episode = (await self._executed(given)).episodes[0]
            before = logged_action(episode, turn)
            ledger: list[LedgerRow] = []
            decided = []
            for draw in range(self.draws):
                decided.append(await self._decide(episode, turn, points_at(turn, members), ledger, self._draw(draw)))
                if not any(_effective(SchedulePoint(turn, name), decided[-1].decision) for name in members):
                    break
            first = decided[0]
            logged = self._kept(before)
            changed = next((one for one in decided if self._kept(one) != logged), first)
            noted = tuple(name for name in members if _effective(SchedulePoint(turn, name), first.decision))
            other = self._kept(changed) != logged
            # a selector may go on otherwise after another note, also where the action is the same
            effect = Effect(noted, self._kept(changed), other or (self._helped and bool(noted)))
            calls = tuple(row for row in ledger if row.role.startswith("helper:"))
            own = total_tokens(calls, "helper")
            notes = sum(note.tokens for note in first.decision.notes)
            self._probes[key] = _Probe((before, changed), effect, None if own is None else own + notes, tuple(ledger))
        return self._probes[key].effect

    async def run(self, schedule: Schedule) -> Run:
        """Run a schedule to the end of the episode, each continuation of it."""
        return (await self._executed(schedule)).run

    def best(self) -> Run | None:
        """Return the cheapest successful run so far."""
        runs = [one.run for schedule, one in self._runs.items() if schedule and one.run.success and one.run.notes]
        return min(runs, key=lambda run: run.cost, default=None)

    def broke_below(self, notes: int | None) -> bool:
        """Return whether a run with fewer notes (None: any run) broke off, so that what they do is unknown."""
        return any(not one.known and (notes is None or len(one.run.notes) < notes) for one in self._runs.values())

    def episode_of(self, run: Run) -> Episode:
        """Return an executed episode of a run, a successful one if there is one."""
        episodes = next(one.episodes for one in self._runs.values() if one.run is run)
        return next((one for one in _ended(episodes) if one.outcome.status == "success"), episodes[0])

    def interventions(self) -> tuple[Intervention, ...]:
        """Return every probe of one decision, in the order of asking."""
        records = []
        for (given, turn, members), probe in self._probes.items():
            before, after = probe.decisions
            outcome, share, reason = self._outcome(given, turn, members, probe)
            records.append(
                Intervention(
                    given=placed(given, self.pool),
                    decision=turn,
                    members=members,
                    subset=None if after.decision.subset == members else after.decision.subset,
                    notes=after.decision.notes,
                    rejected=after.decision.rejected,
                    before=_line(before.action),
                    after=_line(after.action) if probe.effect.noted else None,
                    outcome=outcome,
                    share=share,
                    reason=reason,
                    tokens=probe.tokens,
                    rest=self._rest(given, turn, members, probe, outcome),
                )
            )
        return tuple(records)

    def combinations(self) -> tuple[Combination, ...]:
        """Return every run of more than one decision's notes, in the order of running."""
        records = []
        for schedule, one in self._runs.items():
            if len(asked_turns(schedule)) > 1:
                outcome, reason = _ending(one)
                records.append(
                    Combination(
                        asked=sum(point.turn < one.run.decisions for point in schedule),
                        given=placed(one.run.notes, self.pool),
                        note_tokens=one.run.note_tokens,
                        outcome=outcome,
                        share=one.run.share,
                        reason=reason,
                    )
                )
        return tuple(records)

    def _rest(
        self, given: Schedule, turn: int, members: Subset, probe: _Probe, outcome: ProbeOutcome
    ) -> Remaining | None:
        """Return what the rest took: of the run, else of the episode that goes on as it did, after this decision."""
        if outcome == "not run" or self.draws > 1:
            return None
        if outcome in ("no note", "same action"):
            later = [row for row in self._runs[given].episodes[0].ledger if (row.turn or 0) > turn]
            return spent_from([*probe.ledger, *later], turn)
        return spent_from(self._runs[given | points_at(turn, members)].episodes[0].ledger, turn)

    def _outcome(
        self, given: Schedule, turn: int, members: Subset, probe: _Probe
    ) -> tuple[ProbeOutcome, float | None, str]:
        if not probe.effect.noted:
            return "no note", None, ""
        if not probe.effect.changed:
            return "same action", None, ""
        one = self._runs.get(given | points_at(turn, members))
        if one is None:
            return "not run", None, ""
        outcome, reason = _ending(one)
        return outcome, one.run.share, reason

    async def _executed(self, schedule: Schedule) -> _Executed:
        if schedule not in self._runs:
            self._runs[schedule] = await self._execute(schedule)
        return self._runs[schedule]

    async def _execute(self, schedule: Schedule) -> _Executed:
        episodes = []
        for draw in range(self.draws):
            sampled = self.draws > 1
            replay = Replay(self.log, on=not sampled or bool(schedule), sampled=sampled)
            episode = await self._bench.execute(schedule, replay, self._meter, self._draw(draw))
            self._check(episode, replay)
            episodes.append(episode)
        ended = _ended(episodes)
        share = sum(episode.outcome.status == "success" for episode in ended) / max(len(ended), 1)
        run = Run(
            success=self._succeeds(share),
            share=share,
            notes=frozenset(_notes(schedule, episodes)),
            decisions=len(episodes[0].decisions),
            note_tokens=sum(note.tokens for decision in episodes[0].decisions for note in decision.notes),
        )
        executed = _Executed(run, tuple(episodes))
        return executed if executed.known else replace(executed, run=replace(run, success=False, share=0.0))

    def _succeeds(self, share: float) -> bool:
        """Return whether so large a share of successes repairs a failed episode, or leaves a solved one as it was.

        It repairs where it reaches the wanted share and exceeds that of the plain continuations; it breaks where it
        falls short of both.
        """
        reached, plain = share >= self._bench.mine.share, self.base_share
        if self.log.outcome.status == "success":
            return reached or (plain is not None and share >= plain)
        return reached and (plain is None or share > plain)

    async def _decide(
        self, episode: Episode, turn: int, schedule: Schedule, ledger: list[LedgerRow], draw: int
    ) -> Decided:
        try:
            return await self._bench.decide(episode, turn, schedule, self._meter, ledger, draw)
        except OutOfBudget:
            raise
        except ContextOverflow as error:  # as long another time
            raise Refused(f"decision {turn}: the model failed: {error}") from error
        except ModelError as error:
            raise self._failed(turn, str(error)) from error

    def _check(self, episode: Episode, replay: Replay) -> None:
        if episode.outcome.status != "error":
            return
        if self._meter.ran_out:
            raise OutOfBudget(episode.outcome.reason)
        if replay.difference is not None:
            raise Refused(replay.difference)
        if episode.outcome.boundary == "model":
            raise self._failed(len(episode.decisions), episode.outcome.reason)

    def _failed(self, turn: int, why: str) -> Refused:
        kind = Refused if self._meter.answered else Unanswered
        return kind(f"decision {turn}: the model failed: {why}")

    def _kept(self, decided: Decided) -> str | None:
        """Return an action as later prompts hold it, with its thought where the strategy keeps that; None of none."""
        if decided.action is None:
            return None
        return json.dumps(self._strategy.prompt((action_message(decided.action, 0),), "", ()).messages)

    def _draw(self, draw: int) -> int:
        """Return the number of a random stream; 0, which is the log's own, where each branch is run once."""
        return draw + 1 if self.draws > 1 else 0


def first_change(log: Episode, episode: Episode) -> int | None:
    """Return the first decision whose action, without its thought, is not the logged one; None where there is none."""
    for turn in range(min(len(log.decisions), len(episode.decisions))):
        if _line(logged_action(log, turn).action) != _line(logged_action(episode, turn).action):
            return turn
    return None


def _line(action: Action | None) -> str | None:
    """Return an action as one line of JSON; None where no reply could be read."""
    if action is None:
        return None
    return action_json(action.tool or RESPOND, action.arguments if action.tool else {"text": action.text})


def _notes(schedule: Schedule, episodes: Sequence[Episode]) -> set[SchedulePoint]:
    """Return the points of a schedule that took effect in a continuation."""
    return {
        point
        for episode in episodes
        for decision in episode.decisions
        for point in schedule
        if point.turn == decision.turn and _effective(point, decision)
    }


def _effective(point: SchedulePoint, decision: Decision) -> bool:
    """Return whether a helper that a schedule names gave its note, or was left out where the arm would ask it."""
    noted = any(note.helper == point.helper for note in decision.notes)
    return noted or point.helper not in {*decision.subset, *decision.dropped}


def _ended(episodes: Sequence[Episode]) -> list[Episode]:
    """Return the episodes that ended by themselves: neither an error nor the clock says what comes of notes."""
    return [one for one in episodes if one.outcome.status != "error" and one.outcome.reason != OUT_OF_TIME]


def _ending(one: _Executed) -> tuple[ProbeOutcome, str]:
    """Return the outcome and what ended the episode, of the first continuation with that outcome if there is one."""
    ended = _ended(one.episodes)
    status: ProbeOutcome = "error" if not one.known else "success" if one.run.success else "failure"
    if status == "error":
        alike = [episode for episode in one.episodes if episode not in ended]
    else:
        alike = [episode for episode in ended if episode.outcome.status == status]
    return status, (alike or list(one.episodes))[0].outcome.reason
