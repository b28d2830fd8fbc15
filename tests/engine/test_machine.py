"""Random lives of jobs: whatever callers, workers, operators and sweeps do, in whatever order, the invariants hold.

CABRANK_TEST_EXAMPLES sets how many lives there are; each has 50 steps.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from server.engine.admit import cancel, enqueue, states
from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.errors import (
    Conflict,
    EngineError,
    JobInState,
    JobNotFound,
    LeaseLost,
    SecretsErased,
    UniqueConflict,
)
from server.engine.forms import NORMAL_BAND
from server.engine.job import JobState, LeasedJob, NewJob, OnConflict, Unique
from server.engine.look import page, stats
from server.engine.mend import hasten, remove, revive
from server.engine.moments import epoch_ms
from server.engine.overrides import Overrides
from server.engine.record import claim
from server.engine.steer import pause, resume, unstarted, update
from server.engine.store import Store
from server.engine.sweep import Reclaimed, Retention, Retentions, promote, prune, reclaim
from server.engine.work import Attention, Found, RateLimit, Reservation, Run, extend, note, reserve
from tests.conftest import Clock
from tests.engine.guard import guarded
from tests.engine.hands import LEASE, QUEUE, SETTLEMENTS, new_job, run_of
from tests.engine.snapshot import ENDED, LIVE, Snapshot

T = TypeVar("T")
EXAMPLES = int(os.environ.get("CABRANK_TEST_EXAMPLES", "100"))
# Each life has the one or the other: together, the tighter one would hide the other.
CONCURRENCY = 3
RATE = RateLimit(count=3, period=timedelta(seconds=10))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RETENTIONS = Retentions(
    completed=Retention(age=timedelta(hours=1), count=100),
    failed=Retention(age=timedelta(hours=2), count=3),
    cancelled=Retention(age=timedelta(0), count=2),
)
ENDS = {"complete": "completed", "fail": "failed", "stop": "cancelled"}
PUTS_OFF = ("retry", "snooze")
# The drawing in server/engine/README.md: from where to where.
ARROWS = {
    None: {"waiting", "delayed"},
    # To itself, and from waiting to delayed: replaced by another request.
    "waiting": {"waiting", "delayed", "active", "failed", "cancelled", "gone"},
    "delayed": {"delayed", "waiting", "failed", "cancelled", "gone"},
    "active": {"waiting", "delayed", "completed", "failed", "cancelled"},
    "completed": {"gone"},
    "failed": {"waiting", "gone"},
    "cancelled": {"gone"},
}

picks = st.integers(0, 10_000)
workers, wants = st.sampled_from(["w1", "w2"]), st.sampled_from([1, 2, 9])
some_picks = st.lists(picks, min_size=1, max_size=3, unique=True)
delays = st.sampled_from(
    [timedelta(0), timedelta(0), timedelta(milliseconds=1), SECOND, 5 * SECOND, timedelta(hours=30)]
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """What a job brings; few keys, so that they meet."""
    unique = st.builds(
        Unique,
        key=st.sampled_from("xy"),
        lasts=st.sampled_from([None, None, 3 * SECOND, timedelta(hours=3)]),
        on_conflict=st.sampled_from(OnConflict),
    )
    number = draw(st.integers(0, 3))
    secret = draw(st.booleans())
    return {
        "payload": b'"secret-%d"' % number if secret else b'"open-%d"' % number,
        "masked": b'"***"' if secret else None,
        "priority": draw(st.sampled_from([-1, 0, 0, 100])),
        "delay": draw(delays),
        "retention": draw(st.sampled_from([None, None, timedelta(0), 5 * MINUTE, timedelta(hours=9)])),
        "idempotency_key": draw(st.none() | st.sampled_from("ab")),
        "unique": draw(st.none() | unique),
        "expires_in": draw(st.sampled_from([None, None, SECOND, SECOND, MINUTE])),
    }


@dataclass
class Known:
    """What the test knows of a job by itself."""

    payload: bytes
    unique: Unique | None
    expires_at: datetime | None = None
    charges: list[str] = field(default_factory=list)  # what it was charged with, in order
    retries: int = 0


def pick(things: list[T], number: int) -> T:
    return things[number % len(things)]


def _told(refusal: EngineError | None) -> tuple[type[EngineError], str] | None:
    """By its kind, and the job that it names."""
    return (type(refusal), refusal.job_id) if isinstance(refusal, Conflict | JobNotFound) else None


class Life(RuleBasedStateMachine):
    """One queue, its callers, two workers, its operators, and the sweeps."""

    def __init__(self, store: Store, raw: redis.Redis) -> None:
        super().__init__()
        raw.flushall()
        self.raw = raw
        self.clock = Clock()
        self.engine = Engine(store, clock=self.clock)
        self.now = Snapshot.take(raw)
        self.known: dict[str, Known] = {}
        self.drawn = self.created = self.gone = self.gone_ended = 0
        self.numbers = {"w1": 0, "w2": 0}
        self.hands: list[LeasedJob] = []  # everything that was ever handed out
        self.accepted: dict[tuple[str, str], str] = {}  # job id and token -> how the lease was settled
        self.starts: list[datetime] = []
        self.concurrency = 0
        self.updated = False  # an operator changed the concurrency: a lower one stops nobody
        self.rate: RateLimit | None = None

    @initialize(by_rate=st.booleans())
    def be_limited(self, by_rate: bool) -> None:
        self.concurrency, self.rate = (0, RATE) if by_rate else (CONCURRENCY, None)

    def teardown(self) -> None:
        self.engine.close()

    def run(self, call: Call[T]) -> Any:
        """Runs it, keeps what was before as `before` and what is then as `now`, and compares the two."""
        self.before = self.now
        try:
            return self.engine.run(guarded(call))
        finally:
            self.now = Snapshot.take(self.raw)
            self._nothing_went_back(call.script.name)

    def run_again(self, call: Call[T]) -> Any:
        """Once more, as after a lost answer: nothing may change, except that somebody is woken in vain."""
        again = self.run(call)
        assert self.now.without_wake() == self.before.without_wake()
        return again

    # What callers do.

    def _new(self, job_id: str, request: dict[str, Any]) -> NewJob:
        fields = dict(request)
        expires_in = fields.pop("expires_in")
        return new_job(job_id, expires_at=self.clock.now + expires_in if expires_in else None, **fields)

    @rule(batch=st.lists(requests(), min_size=1, max_size=3), old_id=st.none() | picks)
    def enqueue(self, batch: list[dict[str, Any]], old_id: int | None) -> None:
        jobs = [self._new(f"j{self.drawn + n}", request) for n, request in enumerate(batch)]
        self.drawn += len(jobs)
        if old_id is not None and self.known:
            jobs[0] = replace(jobs[0], id=pick(sorted(self.known), old_id))
        call = enqueue(QUEUE, jobs)
        try:
            answers = self.run(call)
        except Conflict:
            assert self.now == self.before
            return
        for job, answer in zip(jobs, answers, strict=True):
            if answer.created:
                assert answer.job_id == job.id
                self.created += 1
                self.known[job.id] = Known(payload=job.payload, unique=job.unique, expires_at=job.expires_at)
            elif answer.replaced:
                known = self.known[answer.job_id]
                known.payload, known.expires_at = job.payload, job.expires_at
        again = self.run_again(call)
        assert [answer.job_id for answer in again] == [answer.job_id for answer in answers]
        assert not any(answer.created for answer in again)

    @precondition(lambda self: self.known)
    @rule(number=picks, active=st.booleans())
    def cancel(self, number: int, active: bool) -> None:
        job_id = pick(sorted((active and self.now["active"]) or self.known), number)
        was = self.now.state(job_id)
        try:
            state = self.run(cancel(QUEUE, job_id, "no longer wanted"))
        except (JobNotFound, JobInState):
            assert was in (None, "completed", "failed")
            assert self.now == self.before
            return
        assert state == self.now.state(job_id) == ("active" if was == "active" else "cancelled")
        self.run_again(cancel(QUEUE, job_id, "another reason"))

    @rule(number=st.integers(1, 6), priority=st.sampled_from([0, 0, 5]))
    def enqueue_a_few_plain_ones(self, number: int, priority: int) -> None:
        """So that there is a line."""
        jobs = [new_job(f"j{self.drawn + n}", priority=priority) for n in range(number)]
        self.drawn += number
        self.created += len(self.run(enqueue(QUEUE, jobs)))
        self.known |= {job.id: Known(payload=job.payload, unique=None) for job in jobs}
        band = [rank for rank in self.before["waiting"].values() if rank // 2**45 == NORMAL_BAND - priority]
        ranks = [self.now["waiting"][job.id] for job in jobs]
        assert ranks == sorted(ranks)
        assert ranks[0] > max(band, default=0)
        assert {rank // 2**45 for rank in ranks} == {NORMAL_BAND - priority}

    # What workers do.

    @rule(worker=workers, want=wants, again=st.booleans())
    def reserve(self, worker: str, want: int, again: bool) -> None:
        reservation, call = self._take(worker, want)
        if again and reservation.jobs:
            assert self.run_again(call).jobs == reservation.jobs

    @rule(worker=workers)
    def reserve_up_to_the_limit(self, worker: str) -> None:
        """And then as soon as the rate limit is said to allow it: not a moment sooner."""
        self._take(worker, 9)
        reservation, _ = self._take(worker, 9)
        if reservation.found is Found.LIMIT and self.rate and reservation.ask_again:
            self.clock.advance(reservation.ask_again - timedelta(milliseconds=1))
            assert self._take(worker, 9)[0].jobs == []

    def _take(self, worker: str, want: int) -> tuple[Reservation, Call[Reservation]]:
        self.numbers[worker] += 1
        call = reserve(
            QUEUE,
            worker=worker,
            number=self.numbers[worker],
            want=want,
            lease=LEASE,
            concurrency=self.concurrency,
            rate_limit=self.rate,
        )
        reservation: Reservation = self.run(call)
        jobs = reservation.jobs
        assert (reservation.found is Found.JOBS) == bool(jobs)
        assert not (jobs and self._paused(self.before))
        assert "paused" not in self.now["meta"] or self._paused(self.now)
        limit = int(self.now["meta"].get("concurrency", self.concurrency))
        assert not (jobs and limit) or len(self.now["active"]) <= limit
        self._check_taken(jobs, want)
        self.hands += jobs
        self.starts += [self.clock.now] * len(jobs)
        return reservation, call

    def _paused(self, moment: Snapshot) -> bool:
        ends = int(moment["meta"].get("paused_until", 0))
        return "paused" in moment["meta"] and (ends == 0 or ends > epoch_ms(self.clock.now))

    def _check_taken(self, jobs: list[LeasedJob], want: int) -> None:
        before, now = self.before, self.now
        self._lined_up()
        assert len(jobs) <= want
        assert len(jobs) == 1 or not any(job.spent.lost for job in jobs)
        ranks = [int(now["leases"][job.request.id].split(" ")[3]) for job in jobs]
        assert ranks == sorted(ranks)
        assert all(rank < min(now["waiting"].values(), default=2**53) for rank in ranks)
        for job in jobs:
            job_id, known = job.request.id, self.known[job.request.id]
            assert before.state(job_id) in ("waiting", "delayed")
            assert known.expires_at is None or known.expires_at > self.clock.now
            assert job.payload == known.payload
            assert job.attempt == 1 + len(known.charges)

    def _some(self, numbers: list[int], *, stale: bool) -> list[LeasedJob]:
        """Of the jobs that were handed out, one lease for each; `stale`: the lease may be lost by now."""
        hands = (not stale and [job for job in self.hands if self._holds(job)]) or self.hands[-12:]
        return list({job.request.id: job for job in (pick(hands, number) for number in numbers)}.values())

    def _holds(self, job: LeasedJob) -> bool:
        lease = self.now["leases"].get(job.request.id, "")
        return bool(lease.startswith(job.lease.token + " "))

    @precondition(lambda self: self.hands)
    @rule(name=st.sampled_from(sorted(SETTLEMENTS)), numbers=some_picks, stale=st.booleans())
    def settle(self, name: str, numbers: list[int], stale: bool) -> None:
        """Also by those who lost their lease long ago: a stale one changes nothing and is told so."""
        jobs = self._some(numbers, stale=stale)
        held = [self._holds(job) for job in jobs]
        call = SETTLEMENTS[name](*jobs)
        answers = self.run(call)
        for job, was_held, taken in zip(jobs, held, answers, strict=True):
            if was_held:
                assert taken
                self._check_settled(job, name)
            elif taken:
                assert self._may_be_taken_for(job, name)
        if not any(held):
            assert self.now.without_wake() == self.before.without_wake()
        again = self.run_again(call)
        assert again == [taken and name != "release" for taken in answers]

    def _check_settled(self, job: LeasedJob, name: str) -> None:
        job_id, before, now = job.request.id, self.before, self.now
        self.accepted[job_id, job.lease.token] = name
        if name in ("retry", "fail"):
            self.known[job_id].charges.append("failure")
        if name in ENDS:
            assert now.state(job_id) == ENDS[name]
        elif job_id in before["cancels"]:
            assert now.state(job_id) == "cancelled"
            assert now["outcomes"][job_id] == before["cancels"][job_id]
        elif name in PUTS_OFF and before["leases"][job_id].split(" ")[11] == "0":
            assert now["delayed"][job_id] > epoch_ms(self.clock.now)
        else:
            assert now["waiting"][job_id] == float(before["leases"][job_id].split(" ")[3])

    def _may_be_taken_for(self, job: LeasedJob, name: str) -> bool:
        """A repetition is answered like the first time, whoever could tell them apart."""
        accepted = self.accepted.get((job.request.id, job.lease.token))
        if name == "stop":
            return self._stands_stopped(job)
        return accepted == name or {accepted, name} == {"retry", "fail"}

    def _stands_stopped(self, job: LeasedJob) -> bool:
        """A job that never started leaves no attempt to tell by: any stop of a cancelled job is answered with OK."""
        return self.now.state(job.request.id) == "cancelled"

    @precondition(lambda self: self.hands)
    @rule(number=picks, name=st.sampled_from(sorted(SETTLEMENTS)), token=st.sampled_from(["w1:1", "w2:1", "w1", ""]))
    def settle_with_a_forged_token(self, number: int, name: str, token: str) -> None:
        job = pick(self.hands, number)
        forged = replace(job, lease=replace(job.lease, token=token + "0"))
        if self._holds(forged) or (job.request.id, forged.lease.token) in self.accepted:
            return
        answer = self.run(SETTLEMENTS[name](forged))
        assert answer == [name == "stop" and self._stands_stopped(job)]
        assert self.now.without_wake() == self.before.without_wake()

    @precondition(lambda self: self.hands)
    @rule(numbers=some_picks, started=st.booleans(), stale=st.booleans())
    def extend(self, numbers: list[int], started: bool, stale: bool) -> None:
        jobs = self._some(numbers, stale=stale)
        runs = [run_of(job) if started else Run(lease=job.lease, started_after=None) for job in jobs]
        call = extend(QUEUE, runs, lease=LEASE)
        told = self.run(call)
        pausing = self._paused(self.before)
        for job in jobs:
            job_id = job.request.id
            if not self._holds(job):
                assert told[job_id] is Attention.LEASE_LOST
                assert self.now["active"].get(job_id) == self.before["active"].get(job_id)
            else:
                had_started = self.before["leases"][job_id].split(" ")[5] != "0"
                assert (told.get(job_id) is Attention.CANCEL) == (job_id in self.now["cancels"])
                assert told.get(job_id, Attention.PAUSED) is not Attention.PAUSED or (
                    (job_id in told) == (pausing and not had_started)
                )
                assert self.now["active"][job_id] == epoch_ms(self.clock.now + LEASE)
                assert not started or self.now["leases"][job_id].split(" ")[5] != "0"
        # A start that was not known before is known then.
        assert self.run_again(call) == {
            job_id: need for job_id, need in told.items() if not (started and need is Attention.PAUSED)
        }

    @precondition(lambda self: self.hands)
    @rule(number=picks)
    def note(self, number: int) -> None:
        job = pick(self.hands[-8:], number)
        held = self._holds(job)
        try:
            self.run(note(job.lease, progress=(50, "half"), line="half"))
        except LeaseLost:
            assert not held
            assert self.now == self.before
        else:
            assert held

    # What sweeps and operators do.

    @rule(limit=st.sampled_from([1, 2, 100]))
    def promote(self, limit: int) -> None:
        now_ms = epoch_ms(self.clock.now)
        promotion = self.run(promote(QUEUE, limit=limit))
        assert len(self._lined_up()) == promotion.promoted
        assert len(self.now["failed"]) - len(self.before["failed"]) == promotion.expired
        if limit == 100:
            assert not [at for key in ("delayed", "expiring") for at in self.now[key].values() if at <= now_ms]
            self.run_again(promote(QUEUE, limit=limit))

    @rule(limit=st.sampled_from([1, 100]), sweeping=st.booleans(), after=st.sampled_from([0, 11, 15]))
    def reclaim(self, limit: int, sweeping: bool, after: float) -> None:
        """`sweeping`: as if somebody had swept all the time, so that nothing is held."""
        self.clock.advance(seconds=after)
        gap = timedelta(days=30) if sweeping else 5 * SECOND
        lost = {job_id for job_id, ends in self.now["active"].items() if ends <= epoch_ms(self.clock.now)}
        started = {job_id for job_id in lost if self.now["leases"][job_id].split(" ")[5] != "0"}
        reclamation = self.run(reclaim(QUEUE, limit=limit, gap=gap, hold=3 * SECOND))
        assert set(reclamation.jobs) <= lost
        assert not (reclamation.held and reclamation.jobs)
        assert reclamation.held or len(reclamation.jobs) == min(limit, len(lost))
        for job_id, became in reclamation.jobs.items():
            self._check_reclaimed(job_id, became, started=job_id in started)

    def _check_reclaimed(self, job_id: str, became: Reclaimed, *, started: bool) -> None:
        charges = self.known[job_id].charges
        if started or "lost" not in charges:
            charges.append("lost")
        if charges.count("lost") >= 3:
            assert (became, self.now.state(job_id)) == (Reclaimed.POISON, "failed")
        elif job_id in self.before["cancels"]:
            assert (became, self.now.state(job_id)) == (Reclaimed.CANCELLED, "cancelled")
        else:
            assert became is Reclaimed.WAITING
            assert self.now["waiting"][job_id] == float(self.before["leases"][job_id].split(" ")[3])

    @rule(times=st.integers(1, 4), started=st.booleans(), overtaken=st.booleans())
    def let_the_workers_die(self, times: int, started: bool, overtaken: bool) -> None:
        """Each time with all that they can get."""
        for _ in range(times):
            self._take("w1", 9)
            holders = [job for job in self.hands if self._holds(job)]
            if started and holders:
                self.run(extend(QUEUE, [run_of(job) for job in holders], lease=LEASE))
            self.reclaim(limit=100, sweeping=True, after=15)
        if overtaken:
            self.enqueue_a_few_plain_ones(number=1, priority=5)

    @rule(limit=st.sampled_from([1, 2, 500]), after=st.sampled_from([0, 61, 61, 7200, 90_000]))
    def prune(self, limit: int, after: float) -> None:
        self.clock.advance(seconds=after)
        pruning = self.run(prune(QUEUE, RETENTIONS, limit=limit))
        gone = self.before["jobs"].keys() - self.now["jobs"].keys()
        assert len(gone) == pruning.gone
        self.gone += pruning.gone
        self.gone_ended += pruning.gone
        for job_id in gone:
            self._check_gone(job_id)
        for claimed, text in self.before["claims"].items():
            assert claimed in self.now["claims"] or text.split(" ")[0] not in self.before.live or claimed[0] == "u"
        if not pruning.more:
            self._check_left()

    def _check_gone(self, job_id: str) -> None:
        """Nothing went before its time, but where there were too many."""
        state = self.before.state(job_id) or ""
        retention: Retention = getattr(RETENTIONS, state)
        end, age = self.before[state][job_id], retention.age / timedelta(milliseconds=1)
        over = self.before["kept"].get(job_id, end + age) <= epoch_ms(self.clock.now)
        assert over or len(self.before[state]) > retention.count
        assert end <= epoch_ms(self.clock.now - MINUTE)

    def _check_left(self) -> None:
        """Nothing is left that should have gone."""
        minute_ago = epoch_ms(self.clock.now - MINUTE)
        for state in ENDED:
            retention: Retention = getattr(RETENTIONS, state)
            old = min(minute_ago, epoch_ms(self.clock.now - retention.age))
            left = self.now[state]
            assert not [job_id for job_id, end in left.items() if end <= old and job_id not in self.now["kept"]]
            assert len([end for end in left.values() if end <= minute_ago]) <= max(
                0, retention.count - len([end for end in left.values() if end > minute_ago])
            )
        assert all(at > epoch_ms(self.clock.now) for at in self.now["kept"].values())
        assert all(at > epoch_ms(self.clock.now) for at in self.now["claims_until"].values())

    @rule(lasts=st.sampled_from(["forever", 3 * SECOND, "over", "over", "over"]))
    def pause_or_resume(self, lasts: str | timedelta) -> None:
        ends = self.clock.now + lasts if isinstance(lasts, timedelta) else None
        was = self._paused(self.now)
        call = resume(QUEUE) if lasts == "over" else pause(QUEUE, "a deploy", until=ends)
        self.run(call)
        assert self._paused(self.now) == (lasts != "over")
        since = self.now["meta"].get("paused")
        assert since == (None if lasts == "over" else self.before["meta"]["paused"] if was else str(self._ms()))
        self.run_again(call)

    def _last_place(self, moment: Snapshot) -> int:
        return int(moment["meta"].get("seq", 0))

    def _ms(self) -> int:
        return epoch_ms(self.clock.now)

    @rule(concurrency=st.sampled_from([None, 1, 2, 5]))
    def update(self, concurrency: int | None) -> None:
        reset = ["concurrency"] if concurrency is None else []
        self.run(update(QUEUE, Overrides(concurrency=concurrency), reset=reset))
        self.updated = True
        assert self.now["meta"].get("concurrency") == (None if concurrency is None else str(concurrency))

    def _some_ids(self, numbers: list[int], state: str | None) -> list[str]:
        """Of the jobs in a state where there are any, else of all that there ever were; one may be named twice."""
        names = sorted((state and self.now[state]) or self.known)
        return [pick(names, number) for number in numbers]

    @precondition(lambda self: self.known)
    @rule(numbers=some_picks, stale=st.sampled_from([False, False, True]), dry=st.sampled_from([False, False, True]))
    def revive(self, numbers: list[int], stale: bool, dry: bool) -> None:
        job_ids = self._some_ids(numbers, None if stale else "failed")
        expected = self._refusals(job_ids)
        call = revive(QUEUE, job_ids, dry=dry)
        answers = self.run(call)
        assert [_told(answer) for answer in answers] == expected
        back = list(dict.fromkeys(job_id for job_id, refusal in zip(job_ids, expected, strict=True) if not refusal))
        if dry or not back:
            assert self.now == self.before
        else:
            self._check_revived(back)
        assert [_told(answer) for answer in self.run_again(call)] == expected

    def _refusals(self, job_ids: list[str]) -> list[tuple[type[EngineError], str] | None]:
        """What revive must say to each of them."""
        expected: list[tuple[type[EngineError], str] | None] = []
        claimed: dict[str, str] = {}
        for job_id in job_ids:
            state, unique = self.now.state(job_id), None
            if state == "failed":
                unique = self.now.head(job_id)[5]
            holder = claimed.get(unique or "-") or self._holder(unique or "-")
            if state is None:
                expected.append((JobNotFound, job_id))
            elif state != "failed":
                expected.append((JobInState, job_id))
            elif self.now.head(job_id)[6] == "1":
                expected.append((SecretsErased, job_id))
            elif holder not in (None, job_id):
                expected.append((UniqueConflict, str(holder)))
            else:
                expected.append(None)
                claimed |= {unique: job_id} if unique and unique != "-" else {}
        return expected

    def _holder(self, claimed: str) -> str | None:
        job_id, ends, _ = self.now["claims"].get(claimed, "- - -").split(" ")
        lives = job_id in self.now.live if ends == "0" else ends != "-" and int(ends) > self._ms()
        return job_id if lives else None

    def _check_revived(self, job_ids: list[str]) -> None:
        before, now = self.before, self.now
        ranks = [now["waiting"][job_id] for job_id in job_ids]
        places = [int(rank) % 2**45 for rank in ranks]
        assert places == sorted(places)
        assert self._last_place(before) < places[0] <= places[-1] == self._last_place(now)
        for job_id in job_ids:
            known, (_, _, created, expires, *_) = self.known[job_id], now.head(job_id)
            assert created == before.head(job_id)[2]
            if known.expires_at and known.expires_at <= self.clock.now:
                known.expires_at = None
            assert int(expires) == (epoch_ms(known.expires_at) if known.expires_at else 0)
            assert now["attempts"].get(job_id) == before["attempts"].get(job_id)
            known.charges.clear()
            known.retries += 1

    @precondition(lambda self: self.known)
    @rule(
        numbers=some_picks,
        of=st.sampled_from([None, None, *ENDED, *LIVE]),
        wanted=st.sampled_from([None, None, *JobState]),
    )
    def remove(self, numbers: list[int], of: str | None, wanted: JobState | None) -> None:
        job_ids = list(dict.fromkeys(self._some_ids(numbers, of)))
        call = remove(QUEUE, job_ids, state=wanted)
        answers = self.run(call)
        for job_id, answer in zip(job_ids, answers, strict=True):
            was = self.before.state(job_id)
            if was is None:
                assert isinstance(answer, JobNotFound)
            elif was == "active" or wanted not in (None, was):
                assert isinstance(answer, JobInState)
                assert (answer.state, self.now.state(job_id)) == (was, was)
            else:
                assert answer is None
                assert job_id not in self.now["jobs"]
                self.gone += 1
                self.gone_ended += was in ENDED
        assert not any(answer is None for answer in self.run_again(call))

    @precondition(lambda self: self.known)
    @rule(number=picks, of=st.sampled_from(["delayed", "delayed", "active", None]), active=st.booleans())
    def hasten(self, number: int, of: str | None, active: bool) -> None:
        (job_id,) = self._some_ids([number], of)
        was = self.now.state(job_id)
        call = hasten(QUEUE, job_id, active=active)
        try:
            state = self.run(call)
        except (JobNotFound, JobInState):
            assert was in (None, *ENDED) or (was == "active" and not active)
            assert self.now == self.before
            return
        assert state == self.now.state(job_id) == ("active" if was == "active" else "waiting")
        if was == "delayed":
            assert self.now["waiting"][job_id] % 2**45 == self._last_place(self.now) > self._last_place(self.before)
        else:
            assert self.now["waiting"] == self.before["waiting"]
        assert was != "active" or self.now["leases"][job_id] == self.before["leases"][job_id][:-1] + "1"
        self.run_again(call)

    @rule(span=st.sampled_from([0.001, 1, 1, 2, 3, 3, 5, 5, 15, 3600]))
    def let_time_pass(self, span: float) -> None:
        self.clock.advance(seconds=span)

    @rule()
    def looks_tell_what_is_there(self) -> None:
        found = self.engine.run(stats(QUEUE))
        assert {state.value: number for state, number in found.jobs.items()} == {
            state: len(self.now[state]) for state in [*LIVE, *ENDED]
        }
        assert found.stalled == len([ends for ends in self.now["active"].values() if ends <= self._ms()])
        assert found.paused == self._paused(self.now)
        assert found.totals.removed == self.gone
        asked = sorted(self.known)
        assert self.engine.run(states(QUEUE, asked)) == [self.now.state(job_id) for job_id in asked]
        leases = self.now["leases"]
        assert self.engine.run(unstarted(QUEUE)) == len(
            [i for i, ends in self.now["active"].items() if ends > self._ms() and leases[i].split(" ")[5] == "0"]
        )

    @rule(state=st.sampled_from(JobState), count=st.integers(1, 3), backwards=st.booleans())
    def pages_tell_what_is_there(self, state: JobState, count: int, backwards: bool) -> None:
        there = self.now[state]
        order = sorted(there, key=lambda i: (0 if state is JobState.ACTIVE else there[i], i), reverse=backwards)
        met: list[str] = []
        after = None
        while len(met) <= len(order):
            found = self.engine.run(page(QUEUE, state, count=count, after=after, newest_first=backwards))
            met += [place.job_id for place in found.places]
            if not found.more:
                break
            after = found.places[-1]
        assert (met, found.total) == (order, len(order))

    # What always holds.

    def _nothing_went_back(self, name: str) -> None:
        """Totals only rise, an end is an end but for operators and prune, and only reserve hands out."""
        before, now = self.before, self.now
        assert all(int(now["totals"].get(field, -1)) >= int(n) for field, n in before["totals"].items())
        assert list(now["events"].items())[: len(before["events"])] == list(before["events"].items())
        for state in ENDED:
            for job_id, end in before[state].items():
                if job_id not in now["jobs"]:
                    assert name in ("prune", "remove")
                elif now[state].get(job_id) != end:
                    assert (name, state, now.state(job_id)) == ("revive", "failed", "waiting")
        assert name == "remove" or now["jobs"].keys() >= before.live
        assert name == "reserve" or now["active"].keys() <= before["active"].keys()

    def _lined_up(self) -> set[str]:
        """What was delayed, and stands in the line now or has left it already; all of it was due."""
        promoted = self.before["delayed"].keys() & (self.now["waiting"].keys() | self.now["active"].keys())
        assert all(self.before["delayed"][job_id] <= epoch_ms(self.clock.now) for job_id in promoted)
        return promoted

    @invariant()
    def the_moment_is_sound(self) -> None:
        self.now.check()

    @invariant()
    def no_limit_is_passed(self) -> None:
        if self.rate:
            assert len([start for start in self.starts if start > self.clock.now - RATE.period]) <= RATE.count
        elif not self.updated:
            assert len(self.now["active"]) <= CONCURRENCY

    @invariant()
    def every_job_is_accounted_for(self) -> None:
        totals = self.now["totals"]
        assert self.now.total("enqueued:") == self.created == len(self.now["jobs"]) + self.gone
        assert self.now.total("finished:") == len(self.now.ended) + self.gone_ended + self.now.total("retried:")
        assert int(totals.get("removed", 0)) == self.gone
        assert "orphaned" not in totals

    @invariant()
    def nobody_is_charged_for_what_he_did_not_do(self) -> None:
        for job_id in self.now["jobs"]:
            failures, lost, _, _, retries, _ = self.now["spent"].get(job_id, "0 0 0 0 0 -").split(" ")
            known = self.known[job_id]
            assert (int(failures), int(lost)) == (known.charges.count("failure"), known.charges.count("lost"))
            assert int(retries) == known.retries

    @invariant()
    def the_news_from_the_beginning_are_the_state_of_now(self) -> None:
        """And each of them goes along an arrow of the drawing."""
        told: dict[str, str] = {}
        for job_id, word in self.now.news:
            assert word in ARROWS[told.get(job_id)]
            if word == "gone":
                del told[job_id]
            else:
                told[job_id] = word
        assert told == {job_id: self.now.state(job_id) for job_id in self.now["jobs"]}

    @invariant()
    def a_living_job_holds_its_unique_key(self) -> None:
        for job_id in self.now.live:
            unique = self.known[job_id].unique
            if unique and unique.lasts is None:
                assert self.now["claims"][claim("u", unique.key)] == f"{job_id} 0 -"


@pytest.mark.timeout(0)
def test_the_invariants_hold_in_random_lives(store: Store, raw: redis.Redis) -> None:
    run_state_machine_as_test(
        lambda: Life(store, raw),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
