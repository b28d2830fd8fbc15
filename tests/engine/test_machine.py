"""Random lives of jobs: whatever callers, workers, operators and sweeps do, in whatever order, the invariants hold.

CABRANK_TEST_EXAMPLES sets how many lives there are; each has 50 steps.
"""

from __future__ import annotations

import os

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from server.engine.store import Store
from server.engine.work import extend
from tests.engine.hands import LEASE, QUEUE, run_of
from tests.engine.life.callers import Callers
from tests.engine.life.operators import Operators
from tests.engine.life.readers import Readers
from tests.engine.life.sweeps import Sweeps
from tests.engine.life.workers import Workers

EXAMPLES = int(os.environ.get("CABRANK_TEST_EXAMPLES", "100"))


class WholeLife(Callers, Workers, Sweeps, Operators, Readers):
    """One queue, its callers, two workers, its operators, and the sweeps."""

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


@pytest.mark.timeout(0)
def test_the_invariants_hold_in_random_lives(store: Store, raw: redis.Redis) -> None:
    run_state_machine_as_test(
        lambda: WholeLife(store, raw),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
