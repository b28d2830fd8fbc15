"""What the papers show: their fenced blocks and their tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAPERS = sorted(
    path.relative_to(ROOT)
    for places in ("*.md", "docs/**/*.md", "clients/**/README.md", "server/**/README.md", "workers/**/README.md")
    for path in ROOT.glob(places)
)

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^\|[-|: ]+\|\n((?:\|.*\n)+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block, and the paragraph that leads up to it."""

    language: str
    text: str
    lead: str


def text_of(paper: str | Path) -> str:
    return (ROOT / paper).read_text(encoding="utf-8")


def section(paper: str | Path, title: str) -> str:
    """What stands under the heading of this title, up to the next of its level."""
    _, _, rest = text_of(paper).partition(f"\n## {title}\n")
    assert rest, f"{paper} has no section {title}"
    return rest.partition("\n## ")[0]


def blocks(text: str, language: str | None = None) -> Iterator[Block]:
    """Those of a language, or all; in their order."""
    for fence in _FENCE.finditer(text):
        if language in (None, fence["language"]):
            lead = text[: fence.start()].rstrip().rpartition("\n\n")[2]
            yield Block(language=fence["language"], text=fence["text"], lead=lead)


def without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def rows(text: str) -> list[str]:
    """The rows of its tables, without their heads."""
    return [row for table in _TABLE.findall(text) for row in table.splitlines()]
