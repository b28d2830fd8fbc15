"""What sweeps do: they promote, reclaim and prune, all that is due and nothing before."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from server.engine.moments import epoch_ms
from server.engine.sweep import Reclaimed, Retention, Retentions, promote, prune, reclaim
from tests.engine.hands import QUEUE
from tests.engine.life.life import MINUTE, SECOND, Life
from tests.engine.snapshot import ENDED

RETENTIONS = Retentions(
    completed=Retention(age=timedelta(hours=1), count=100),
    failed=Retention(age=timedelta(hours=2), count=3),
    cancelled=Retention(age=timedelta(0), count=2),
)


class Sweeps(Life):
    """They come whenever they like, and after any time."""

    @rule(limit=st.sampled_from([1, 2, 100]))
    def promote(self, limit: int) -> None:
        now_ms = self._ms()
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
        lost = {job_id for job_id, ends in self.now["active"].items() if ends <= self._ms()}
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
        over = self.before["kept"].get(job_id, end + age) <= self._ms()
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
        assert all(at > self._ms() for at in self.now["kept"].values())
        assert all(at > self._ms() for at in self.now["claims_until"].values())
