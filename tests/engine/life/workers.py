"""What two workers do: they reserve, extend, note and settle, also what they have lost or never had."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from server.engine.call import Call
from server.engine.errors import LeaseLost
from server.engine.job import LeasedJob
from server.engine.moments import epoch_ms
from server.engine.work import Attention, Found, Reservation, Run, extend, note, reserve
from tests.engine.hands import LEASE, QUEUE, SETTLEMENTS, run_of
from tests.engine.life.life import Life
from tests.engine.life.picks import pick, picks, some_picks

ENDS = {"complete": "completed", "fail": "failed", "stop": "cancelled"}
PUTS_OFF = ("retry", "snooze")
workers, wants = st.sampled_from(["w1", "w2"]), st.sampled_from([1, 2, 9])


class Workers(Life):
    """They remember everything that was ever handed out to them."""

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
            assert now["delayed"][job_id] > self._ms()
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
