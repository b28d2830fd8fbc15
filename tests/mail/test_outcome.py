"""What each answer at each step of a real conversation means for the mail."""

from datetime import timedelta

import pytest

from tests.mail.conftest import OpenPool, login
from tests.mail.sink import HANG_UP, SILENCE, Sink
from workers.mail.errors import Deferred, DeliveryError, Phase, Rejected, Unreachable
from workers.mail.message import Message

REFUSALS = [
    # The server speaks of itself, or of us: whatever the code, no mail is at fault.
    *[("connect", code, Unreachable) for code in (421, 450, 521, 554)],
    *[("EHLO", code, Unreachable) for code in (421, 451, 500, 504, 550)],
    *[("AUTH", code, Unreachable) for code in (432, 454, 530, 534, 535, 538)],
    # From here on it speaks of the mail, unless it is closing down (421) or wants a login (530).
    *[("MAIL", code, Unreachable) for code in (421, 530)],
    *[("MAIL", code, Deferred) for code in (450, 451, 452, 455)],
    *[("MAIL", code, Rejected) for code in (501, 503, 550, 552, 553, 555)],
    *[("RCPT", code, Unreachable) for code in (421, 530)],
    *[("RCPT", code, Deferred) for code in (450, 451, 452, 454)],
    *[("RCPT", code, Rejected) for code in (501, 550, 551, 552, 553, 554)],
    *[("DATA", code, Unreachable) for code in (421, 530)],
    *[("DATA", code, Deferred) for code in (450, 451, 452)],
    *[("DATA", code, Rejected) for code in (503, 550, 554)],
    *[("content", code, Unreachable) for code in (421,)],
    *[("content", code, Deferred) for code in (450, 451, 452)],
    *[("content", code, Rejected) for code in (550, 552, 554)],
]
PHASES = {"content": Phase.CONTENT}


@pytest.mark.parametrize(("step", "code", "outcome"), REFUSALS)
async def test_an_answer_means_what_its_code_and_its_step_say(
    open_pool: OpenPool, message: Message, step: str, code: int, outcome: type[DeliveryError]
) -> None:
    async with Sink(auth_require_tls=False).listening() as sink:
        sink.always(step, f"{code} {str(code)[0]}.7.9 not\x07 so")
        pool = open_pool(sink, encryption="none", **login("right"))

        with pytest.raises(outcome) as caught:
            await pool.deliver(message)

    error = caught.value
    assert type(error) is outcome
    assert error.phase == PHASES.get(step, step)
    assert error.reply is not None
    assert (error.reply.code, error.reply.status, error.reply.text) == (code, f"{str(code)[0]}.7.9", "not so")
    assert str(error) == f"{error.meaning}: {error.phase} was answered with {code} {str(code)[0]}.7.9 not so"
    assert sink.mails == []


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("fault", [HANG_UP, SILENCE])
async def test_a_server_that_falls_silent_before_the_content_is_unreachable(
    sink: Sink, open_pool: OpenPool, message: Message, step: str, fault: str
) -> None:
    sink.always(step, fault)
    soon = timedelta(seconds=1)
    pool = open_pool(sink, connect_timeout=soon, answer_timeout=soon)

    with pytest.raises(Unreachable) as caught:
        await pool.deliver(message)

    assert caught.value.phase == step
    assert caught.value.reply is None


@pytest.mark.parametrize("step", ["DATA", "content"])
@pytest.mark.parametrize("fault", [HANG_UP, SILENCE])
async def test_a_server_that_falls_silent_after_data_leaves_it_open_whether_the_mail_is_out(
    sink: Sink, open_pool: OpenPool, message: Message, step: str, fault: str
) -> None:
    sink.always(step, fault)
    pool = open_pool(sink, content_timeout=timedelta(seconds=0.2))

    with pytest.raises(Deferred) as caught:
        await pool.deliver(message)

    assert caught.value.uncertain
    assert "may have been taken" in str(caught.value)


async def test_a_refused_mail_is_not_uncertain(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    sink.always("content", "451 4.3.0 later")

    with pytest.raises(Deferred) as caught:
        await open_pool(sink).deliver(message)

    assert not caught.value.uncertain


async def test_a_port_where_nobody_listens_is_unreachable(open_pool: OpenPool, message: Message) -> None:
    async with Sink().listening() as sink:
        pool = open_pool(sink)

    with pytest.raises(Unreachable, match="connect"):
        await pool.deliver(message)


async def test_a_host_without_an_address_is_unreachable(open_pool: OpenPool, message: Message, sink: Sink) -> None:
    with pytest.raises(Unreachable, match=r"mail\.invalid"):
        await open_pool(sink, host="mail.invalid").deliver(message)


async def test_a_server_that_speaks_another_protocol_is_unreachable(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    sink.always("connect", "SSH-2.0-OpenSSH_9.2")

    with pytest.raises(Unreachable, match="SSH"):
        await open_pool(sink).deliver(message)


async def test_a_server_that_closes_down_during_login_is_unreachable(open_pool: OpenPool, message: Message) -> None:
    async with Sink(auth_require_tls=False).listening() as sink:
        sink.always("AUTH", "421 4.3.2 closing down")

        with pytest.raises(Unreachable) as caught:
            await open_pool(sink, encryption="none", **login("right")).deliver(message)

    assert caught.value.phase is Phase.LOGIN
