"""A mail from its values to the server, all parts together."""

import email
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest

from tests.mail.conftest import OpenPool
from tests.mail.sink import Sink
from tests.mail.test_message import HARMLESS, HEADERS, INJECTIONS
from workers.mail.address import Mailbox
from workers.mail.brand import Brand
from workers.mail.errors import Deferred, FieldRefused
from workers.mail.mailer import Mailer
from workers.mail.mails import VerificationCode, Welcome
from workers.mail.rendering import Templates

CODE = VerificationCode(code="123456", first_name="Ada")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def templates() -> Templates:
    return Templates(brand=Brand(name="cabrank"))


@pytest.fixture
async def mailer(sink: Sink, open_pool: OpenPool, templates: Templates) -> AsyncIterator[Mailer]:
    sender = Mailbox.parse("Čabrank <no-reply@example.org>")
    mailer = Mailer(templates=templates, sender=sender, pool=open_pool(sink), now=lambda: NOON)
    yield mailer
    await mailer.close()


def received(sink: Sink) -> list[EmailMessage]:
    return [email.message_from_bytes(mail.original_content or b"", policy=policy.default) for mail in sink.mails]


async def test_a_mail_arrives(sink: Sink, mailer: Mailer) -> None:
    receipt = await mailer.send(CODE, to="ada@example.org", queue="email", job_id="1")

    [mail] = received(sink)
    assert mail.keys() == HEADERS
    assert (mail["From"], mail["To"]) == ("Čabrank <no-reply@example.org>", "ada@example.org")
    assert mail["Subject"] == "Your cabrank verification code"
    assert mail["Date"].datetime == NOON
    assert mail["Message-ID"] == receipt.message_id
    assert all("123456" in part.get_content() for part in mail.iter_parts())
    assert str(receipt.reply) == "250 2.0.0 kept as 1"


async def test_every_attempt_of_a_job_sends_the_same_message_id(sink: Sink, mailer: Mailer) -> None:
    sink.once("content", "451 later")
    with pytest.raises(Deferred):
        await mailer.send(CODE, to="ada@example.org", queue="email", job_id="1")

    first = await mailer.send(CODE, to="ada@example.org", queue="email", job_id="1")
    second = await mailer.send(CODE, to="ada@example.org", queue="email", job_id="1")
    other = await mailer.send(CODE, to="ada@example.org", queue="email", job_id="2")

    assert first.message_id == second.message_id
    assert other.message_id != first.message_id


@pytest.mark.parametrize("injection", INJECTIONS)
async def test_nothing_is_sent_when_a_value_could_begin_a_header(sink: Sink, mailer: Mailer, injection: str) -> None:
    for attempt in ({"course_title": injection}, {"first_name": injection, "course_title": "t"}):
        with pytest.raises(FieldRefused):
            await mailer.send(Welcome(**attempt), to="ada@example.org", queue="email", job_id="1")
    with pytest.raises(FieldRefused, match=r"^the recipient's address is refused"):
        await mailer.send(CODE, to=f"{injection}@example.org", queue="email", job_id="1")

    assert sink.connections == 0


@pytest.mark.parametrize("text", HARMLESS)
async def test_a_value_that_only_looks_like_a_header_arrives_as_text(sink: Sink, mailer: Mailer, text: str) -> None:
    mail = Welcome(first_name=text, course_title=text)

    await mailer.send(mail, to="ada@example.org", queue="email", job_id="1")

    [envelope], [message] = sink.mails, received(sink)
    assert envelope.rcpt_tos == ["ada@example.org"]
    assert message.keys() == HEADERS
    assert message["Subject"] == f"Welcome to {text}"


async def test_lines_of_dots_arrive(sink: Sink, mailer: Mailer) -> None:
    """A line of one dot would end the mail."""
    await mailer.send(VerificationCode(code=".", first_name="."), to="ada@example.org", queue="email", job_id="1")

    [mail] = received(sink)
    text, _ = mail.iter_parts()
    assert "Hello .," in text.get_content()
