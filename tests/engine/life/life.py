"""What all actors share: the queue, what the test knows of it by itself, and what always holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from server.engine.call import Call
from server.engine.engine import Engine
from server.engine.job import LeasedJob, Unique
from server.engine.moments import epoch_ms
from server.engine.record import claim
from server.engine.store import Store
from server.engine.work import RateLimit
from tests.conftest import Clock
from tests.engine.guard import guarded
from tests.engine.snapshot import ENDED, Snapshot

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
# Each life has the one or the other: together, the tighter one would hide the other.
CONCURRENCY = 3
RATE = RateLimit(count=3, period=timedelta(seconds=10))
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


@dataclass
class Known:
    """What the test knows of a job by itself."""

    payload: bytes
    unique: Unique | None
    expires_at: datetime | None = None
    charges: list[str] = field(default_factory=list)  # what it was charged with, in order
    retries: int = 0


class Life(RuleBasedStateMachine):
    """One queue: whoever acts on it does so by `run`, which compares it with what it was."""

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

    def run(self, call: Call[Any]) -> Any:
        """Runs it, keeps what was before as `before` and what is then as `now`, and compares the two."""
        self.before = self.now
        try:
            return self.engine.run(guarded(call))
        finally:
            self.now = Snapshot.take(self.raw)
            self._nothing_went_back(call.script.name)

    def run_again(self, call: Call[Any]) -> Any:
        """Once more, as after a lost answer: nothing may change, except that somebody is woken in vain."""
        again = self.run(call)
        assert self.now.without_wake() == self.before.without_wake()
        return again

    @rule(span=st.sampled_from([0.001, 1, 1, 2, 3, 3, 5, 5, 15, 3600]))
    def let_time_pass(self, span: float) -> None:
        self.clock.advance(seconds=span)

    def _ms(self) -> int:
        return epoch_ms(self.clock.now)

    def _paused(self, moment: Snapshot) -> bool:
        ends = int(moment["meta"].get("paused_until", 0))
        return "paused" in moment["meta"] and (ends == 0 or ends > self._ms())

    def _lined_up(self) -> set[str]:
        """What was delayed, and stands in the line now or has left it already; all of it was due."""
        promoted = self.before["delayed"].keys() & (self.now["waiting"].keys() | self.now["active"].keys())
        assert all(self.before["delayed"][job_id] <= self._ms() for job_id in promoted)
        return promoted

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
