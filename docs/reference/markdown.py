"""The Markdown that the pages are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def page(*parts: str) -> str:
    """Headings, paragraphs, lists and tables, an empty line between; an empty part is none."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([_row(head), "|" + "---|" * len(head), *map(_row, rows)])


def bullets(items: Iterable[str]) -> str:
    return "\n".join("- " + item.replace("\n", "\n  ") for item in items)


def link(text: str, heading: str) -> str:
    """To a heading of the same page, as GitHub names it."""
    return f"[{text}](#{re.sub(r'[^a-z0-9-]', '', heading.lower().replace(' ', '-'))})"


def prose(text: str) -> str:
    """A comment: its paragraphs, and what is indented in it as it stands there."""
    drawn = re.compile(r"(?:^ {2,}\S.*\n?)+", re.MULTILINE)
    return drawn.sub(lambda lines: f"```text\n{lines[0].rstrip()}\n```\n", text)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"
