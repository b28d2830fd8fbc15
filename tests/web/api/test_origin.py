"""Pages of other sites, in the browser of somebody who can reach the port, change nothing."""

from __future__ import annotations

import pytest

from tests.engine.hands import Worker, put, state
from tests.web.conftest import QUEUES, Site

REMOVE = ("DELETE", f"{QUEUES}/email/job/waiting")
CLEAN = ("POST", f"{QUEUES}/email/clean")


@pytest.mark.parametrize("write", [REMOVE, CLEAN], ids=["DELETE", "POST"])
@pytest.mark.parametrize(
    "said",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},  # another port of this host, or a neighbour's domain
        {"origin": "https://evil.example"},
        {"origin": "null"},  # a sandboxed frame
        {"origin": "http://127.0.0.1:1"},
        {"origin": "https://evil.example", "sec_fetch_site": "same-origin"},
    ],
)
async def test_a_page_of_another_site_is_refused(
    site: Site, worker: Worker, write: tuple[str, str], said: dict[str, str]
) -> None:
    put(worker.engine, "waiting")

    reply = await site.ask(*write, **said)

    assert (reply.status, reply.reason) == (403, "CROSS_SITE")
    assert state(worker.engine, "waiting") == "waiting"


async def test_a_page_of_this_host_is_not(site: Site, worker: Worker) -> None:
    put(worker.engine, "waiting")

    reply = await site.ask(*REMOVE, origin=f"http://{site.host}", sec_fetch_site="same-origin")

    assert reply.status == 200


async def test_tls_may_have_been_taken_off_on_the_way(site: Site) -> None:
    """A proxy passes on the name by which it was asked."""
    reply = await site.ask(*CLEAN, origin="https://Queues.Example.org", host="queues.example.org")

    assert reply.status == 200


async def test_looking_is_free(site: Site) -> None:
    """The browser itself keeps the answer from the page: nothing here allows it otherwise."""
    reply = await site.ask("GET", f"{QUEUES}/stats", origin="https://evil.example", sec_fetch_site="cross-site")

    assert reply.status == 200
    assert "access-control-allow-origin" not in reply.headers
