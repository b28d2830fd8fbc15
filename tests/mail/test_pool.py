"""Connections are shared, used again, bounded, and their loss costs no mail an attempt."""

import asyncio
from datetime import timedelta

import pytest

from tests.mail.conftest import OpenPool, message_to
from tests.mail.sink import HANG_UP, SILENCE, Sink, until
from workers.mail.errors import Deferred, Rejected, Unreachable
from workers.mail.message import Message


async def test_the_second_mail_takes_the_connection_of_the_first(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)

    await pool.deliver(message)
    await pool.deliver(message)

    assert (len(sink.mails), sink.connections) == (2, 1)


async def test_there_are_never_more_connections_than_agreed(sink: Sink, open_pool: OpenPool) -> None:
    """Also while connections are replaced: each is used for three mails."""
    pool = open_pool(sink, size=4, max_mails=3)

    await asyncio.gather(*(pool.deliver(message_to(f"{n}@example.org")) for n in range(50)))

    assert sorted(mail.rcpt_tos for mail in sink.mails) == sorted([f"{n}@example.org"] for n in range(50))
    assert sink.most_at_once <= 4
    assert sink.connections >= 50 / 3


async def test_a_connection_that_the_server_dropped_while_idle_is_replaced(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)
    await pool.deliver(message)

    sink.hang_up()
    await pool.deliver(message)

    assert (len(sink.mails), sink.connections) == (2, 2)


@pytest.mark.parametrize("farewell", [HANG_UP, SILENCE, "421 4.4.2 idle for too long"])
async def test_a_connection_that_turns_out_lost_at_the_next_mail_is_replaced(
    sink: Sink, open_pool: OpenPool, message: Message, farewell: str
) -> None:
    pool = open_pool(sink, answer_timeout=timedelta(seconds=1))
    await pool.deliver(message)

    sink.once("MAIL", farewell)
    await pool.deliver(message)

    assert (len(sink.mails), sink.connections) == (2, 2)


async def test_a_lost_connection_is_replaced_once_only(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    pool = open_pool(sink)
    await pool.deliver(message)

    sink.always("MAIL", HANG_UP)
    with pytest.raises(Unreachable):
        await pool.deliver(message)

    assert sink.connections == 2


async def test_a_connection_lost_after_mail_was_accepted_is_not_replaced(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)
    await pool.deliver(message)

    sink.once("RCPT", HANG_UP)
    with pytest.raises(Unreachable):
        await pool.deliver(message)

    assert sink.connections == 1


@pytest.mark.parametrize(("answer", "outcome"), [("450 later", Deferred), ("550 never", Rejected)])
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "content"])
async def test_a_refused_mail_leaves_the_connection_to_the_next(
    sink: Sink, open_pool: OpenPool, step: str, answer: str, outcome: type[Exception]
) -> None:
    pool = open_pool(sink)
    sink.once(step, answer)

    with pytest.raises(outcome):
        await pool.deliver(message_to("first@example.org"))
    await pool.deliver(message_to("second@example.org"))

    [mail] = sink.mails
    assert mail.rcpt_tos == ["second@example.org"]
    assert sink.connections == 1


async def test_a_connection_that_cannot_be_reset_is_not_used_again(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)
    sink.once("RCPT", "550 never")
    sink.always("RSET", "500 what?")

    with pytest.raises(Rejected):
        await pool.deliver(message)
    await pool.deliver(message)

    assert sink.connections == 2


async def test_a_cancelled_delivery_takes_its_connection_with_it(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    """The answer that is still to come belongs to that mail and must not be read as the next one's."""
    pool = open_pool(sink, size=1)
    sink.once("content", SILENCE)
    delivery = asyncio.create_task(pool.deliver(message))
    await until(lambda: sink.open == 1 and sink.at("content"))

    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    await until(lambda: sink.open == 0)
    await pool.deliver(message)

    assert (len(sink.mails), sink.connections) == (1, 2)


async def test_a_connection_makes_way_after_its_share_of_mails(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink, max_mails=2)

    for _ in range(5):
        await pool.deliver(message)

    assert (sink.connections, sink.leave_taken) == (3, 2)


async def test_an_idle_connection_is_closed_in_good_time(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    pool = open_pool(sink, max_idle=timedelta(seconds=0.05))

    await asyncio.gather(*(pool.deliver(message) for _ in range(4)))
    await until(lambda: sink.open == 0)

    assert sink.leave_taken == sink.connections


async def test_close_takes_leave_of_the_server(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    pool = open_pool(sink)
    await asyncio.gather(*(pool.deliver(message) for _ in range(4)))

    await pool.close()
    await until(lambda: sink.open == 0)

    assert sink.leave_taken == sink.connections


async def test_close_waits_for_the_mail_under_way(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    pool = open_pool(sink)
    delivery = asyncio.create_task(pool.deliver(message))
    await until(lambda: sink.open == 1)

    await pool.close()

    assert delivery.done()
    assert len(sink.mails) == 1
    assert sink.leave_taken == 1


async def test_close_does_not_wait_long_for_a_server_that_says_nothing(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)
    await pool.deliver(message)
    sink.always("QUIT", SILENCE)

    async with asyncio.timeout(10):
        await pool.close()


async def test_an_outage_costs_no_slot(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    pool = open_pool(sink, size=2)
    sink.always("connect", "421 come back later")
    results = await asyncio.gather(*(pool.deliver(message) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Unreachable}

    sink.once("connect", "220 here again")
    await pool.deliver(message)

    assert len(sink.mails) == 1
