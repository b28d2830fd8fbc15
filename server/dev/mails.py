"""The folder of mails that were taken and not delivered, a file for each."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFolder:
    """Where the mails lie: `<time in UTC>-<id>.eml`, byte for byte as they were sent."""

    path: Path

    def keep(self, mail: bytes) -> Path:
        """Write one mail; it has its name only once it is complete."""
        self.path.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"
        draft, kept = self.path / f".{name}", self.path / f"{name}.eml"
        draft.write_bytes(mail)
        return draft.rename(kept)

    def mails(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.path.glob("*.eml"))
