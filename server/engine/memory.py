"""How full Redis is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Of all primaries together, in bytes."""

    used: int
    limit: int  # 0: one of them has none

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """From the section `memory` of INFO: of one server, or of several by their names."""
        servers = [info] if "used_memory" in info else list(info.values())
        limits = [int(server["maxmemory"]) for server in servers]
        return cls(used=sum(int(server["used_memory"]) for server in servers), limit=sum(limits) if all(limits) else 0)
