"""What operators do: they pause, resume and update the queue, and revive, remove and hasten jobs."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from server.engine.errors import Conflict, EngineError, JobInState, JobNotFound, SecretsErased, UniqueConflict
from server.engine.job import JobState
from server.engine.mend import hasten, remove, revive
from server.engine.moments import epoch_ms
from server.engine.overrides import Overrides
from server.engine.steer import pause, resume, update
from tests.engine.hands import QUEUE
from tests.engine.life.life import SECOND, Life
from tests.engine.life.picks import pick, picks, some_picks
from tests.engine.snapshot import ENDED, LIVE, Snapshot


class Operators(Life):
    """They name jobs in any state, also such as are gone."""

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

    @rule(concurrency=st.sampled_from([None, 1, 2, 5]))
    def update(self, concurrency: int | None) -> None:
        reset = ["concurrency"] if concurrency is None else []
        self.run(update(QUEUE, Overrides(concurrency=concurrency), reset=reset))
        self.updated = True
        assert self.now["meta"].get("concurrency") == (None if concurrency is None else str(concurrency))

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

    def _some_ids(self, numbers: list[int], state: str | None) -> list[str]:
        """Of the jobs in a state where there are any, else of all that there ever were; one may be named twice."""
        names = sorted((state and self.now[state]) or self.known)
        return [pick(names, number) for number in numbers]

    def _last_place(self, moment: Snapshot) -> int:
        return int(moment["meta"].get("seq", 0))


def _told(refusal: EngineError | None) -> tuple[type[EngineError], str] | None:
    """By its kind, and the job that it names."""
    return (type(refusal), refusal.job_id) if isinstance(refusal, Conflict | JobNotFound) else None
