"""Which browsers are not listened to: those that act for a page of another site.

A page cannot keep the browser from saying whose page it is, and programs say nothing of the kind.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from server.web.api.errors import CrossSite

_OWN = ("same-origin", "none")  # "none": a person's own doing


def refuse_other_sites(headers: Headers) -> None:
    """Raises CrossSite."""
    if headers.get("sec-fetch-site", "none") not in _OWN:
        raise CrossSite
    origin = headers.get("origin")
    # Without the scheme: a proxy may have taken TLS off on the way.
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "no host").lower():
        raise CrossSite
