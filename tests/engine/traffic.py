"""What a server was asked, as it counts itself."""

from __future__ import annotations

from typing import Any

import redis

_OURS = ("cmdstat_info", "cmdstat_config|set")  # by which tests ask


def reads(raw: redis.Redis) -> int:
    """How often it has read what clients sent, this question included: what they send at once it reads at once."""
    found: Any = raw.info("stats")
    return int(found["total_reads_processed"])


def commands(raw: redis.Redis) -> int:
    """How many commands it has run, those within scripts included, without those by which tests ask."""
    found: Any = raw.info("commandstats")
    return sum(stats["calls"] for name, stats in found.items() if name not in _OURS)
