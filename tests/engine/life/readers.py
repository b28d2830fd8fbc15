"""What those see who only look: what is there."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from server.engine.admit import states
from server.engine.job import JobState
from server.engine.look import page, stats
from server.engine.steer import unstarted
from tests.engine.hands import QUEUE
from tests.engine.life.life import Life
from tests.engine.snapshot import ENDED, LIVE


class Readers(Life):
    """They change nothing."""

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
