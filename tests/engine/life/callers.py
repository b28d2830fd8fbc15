"""What callers do: they enqueue, also the same once more, and cancel."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from server.engine.admit import cancel, enqueue
from server.engine.errors import Conflict, JobInState, JobNotFound
from server.engine.forms import NORMAL_BAND
from server.engine.job import NewJob, OnConflict, Unique
from tests.engine.hands import QUEUE, new_job
from tests.engine.life.life import MINUTE, SECOND, Known, Life
from tests.engine.life.picks import pick, picks

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


class Callers(Life):
    """Their jobs meet: they share few keys."""

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

    def _new(self, job_id: str, request: dict[str, Any]) -> NewJob:
        fields = dict(request)
        expires_in = fields.pop("expires_in")
        return new_job(job_id, expires_at=self.clock.now + expires_in if expires_in else None, **fields)

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
