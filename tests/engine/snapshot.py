"""All keys of a queue as they stand in Redis at one moment, and what must hold of them at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import redis

from server.engine import script
from server.engine.call import keys_of
from server.engine.job import JobState
from tests.engine.hands import QUEUE
from tests.engine.headers import declared_keys

TYPES = {key: kind for name in script.names() for key, kind in declared_keys(name).items()}
_KEYS = dict(zip(TYPES, keys_of(QUEUE, list(TYPES)), strict=True))
STATES = [state.value for state in JobState]
LIVE = [state.value for state in JobState if not state.terminal]
ENDED = [state.value for state in JobState if state.terminal]
_KEPT_WITH_A_JOB = ("attempts", "spent", "outcomes", "secrets", "progress", "logs")
_BAND = 2**45  # places


class Snapshot(dict[str, dict[str, Any]]):
    """Short name of a key -> member or field -> score or text."""

    @classmethod
    def take(cls, raw: redis.Redis) -> Snapshot:
        pipeline: Any = raw.pipeline(transaction=False)
        for key, kind in TYPES.items():
            if kind == "HASH":
                pipeline.hgetall(_KEYS[key])
            elif kind == "STREAM":
                pipeline.xrange(_KEYS[key])
            else:
                pipeline.zrange(_KEYS[key], 0, -1, withscores=True)
        return cls(
            (key, {name.decode("latin-1"): _read(value) for name, value in dict(entries).items()})
            for key, entries in zip(TYPES, pipeline.execute(), strict=True)
        )

    @property
    def live(self) -> set[str]:
        return set().union(*(self[state] for state in LIVE))

    @property
    def ended(self) -> set[str]:
        return set().union(*(self[state] for state in ENDED))

    @property
    def news(self) -> Iterator[tuple[str, str]]:
        """Job id and what it entered, or `gone`, in the order in which it was told."""
        for entry in self["events"].values():
            for name, job_ids in entry.items():
                yield from ((job_id, name.partition(" ")[0]) for job_id in job_ids.split())

    def state(self, job_id: str) -> str | None:
        return next((state for state in STATES if job_id in self[state]), None)

    def total(self, prefix: str) -> int:
        return sum(int(n) for name, n in self["totals"].items() if name.startswith(prefix))

    def without_wake(self) -> dict[str, dict[str, Any]]:
        """A settlement that is sent again may wake a worker in vain."""
        return {key: entries for key, entries in self.items() if key != "wake"}

    def head(self, job_id: str) -> list[str]:
        """task band created expires keep unique secret fingerprint by"""
        return str(self["jobs"][job_id]).partition("\n")[0].split(" ")

    def check(self) -> None:
        """Those of the invariants in server/engine/README.md that one moment shows, by their numbers there."""
        for number, broken in enumerate(self._broken(), start=1):
            assert not broken, f"invariant {number}: {broken}\n{self}"

    def _broken(self) -> Iterator[Any]:
        """For each invariant, what breaks it."""
        standing = [job_id for state in STATES for job_id in self[state]]
        yield [job_id for job_id in standing if standing.count(job_id) > 1] or set(standing) ^ self["jobs"].keys()
        yield (self["leases"].keys() ^ self["active"].keys()) | (self["cancels"].keys() - self["active"].keys())
        yield self["secrets"].keys() ^ {job_id for job_id in self.live if self.head(job_id)[6] == "1"}
        yield [key for key in _KEPT_WITH_A_JOB if self[key].keys() - self["jobs"].keys()] or (
            self["outcomes"].keys() - self.ended
        )
        yield self["expiring"].keys() - self.live
        yield self["kept"].keys() ^ {job_id for job_id in self.ended if self.head(job_id)[4] != "0"}
        yield list(self._broken_claims())
        yield list(self._broken_ranks())

    def _broken_ranks(self) -> Iterator[str]:
        """Also those that leases keep for the way back."""
        on_lease = {job_id: float(text.split(" ")[3]) for job_id, text in self["leases"].items()}
        for job_id, rank in (self["waiting"] | on_lease).items():
            if not 0 < rank < 2**53 or rank != int(rank):
                yield f"{job_id} has rank {rank}"
            if rank // _BAND != int(self.head(job_id)[1]):
                yield f"{job_id} stands in another band than its record says"

    def _broken_claims(self) -> Iterator[str]:
        """Unique keys without a time belong to live jobs; each claim with a time is on the list to be removed."""
        for claim, text in self["claims"].items():
            job_id, ends, _ = text.split(" ")
            if ends == "0" and job_id not in self.live:
                yield f"{claim} outlived {job_id}"
            if (ends != "0") != (claim in self["claims_until"]):
                yield f"{claim} is never removed, or too early"
        yield from (f"{claim} is listed in vain" for claim in self["claims_until"].keys() - self["claims"].keys())


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        return {_read(name): _read(text) for name, text in value.items()}
    return value.decode("latin-1") if isinstance(value, bytes) else value
