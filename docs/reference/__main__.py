"""Makes the pages of this folder anew, each from what it describes: `make reference`."""

from __future__ import annotations

from pathlib import Path

from docs.reference import http, metrics, rpcs, settings

PAGES = {"rpcs.md": rpcs.page, "http.md": http.page, "settings.md": settings.page, "metrics.md": metrics.page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(__file__).with_name(name).write_text(page(), encoding="utf-8")
