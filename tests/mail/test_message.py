"""What stands on the wire, as somebody else's parser reads it."""

import email
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.mail.address import Address, Mailbox
from workers.mail.errors import FieldRefused
from workers.mail.message import Message, compose, message_id_for
from workers.mail.rendering import Rendered

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
]
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def composed(*, subject: str = "Hello", name: str = "cabrank", to: str = "ada@example.org") -> Message:
    return compose(
        Rendered(subject=subject, text="Guten Tag, Ada\nGrüße\n", html="<p>Grüße</p>"),
        sender=Mailbox(name=name, address=Address.parse("no-reply@example.org", field="from")),
        to=Address.parse(to, field="to"),
        message_id="<1@example.org>",
        date=NOON,
    )


def read(message: Message) -> EmailMessage:
    return email.message_from_bytes(message.content, policy=policy.default)


def test_the_headers_are_those_that_were_meant() -> None:
    message = read(composed(subject="Hello, Ada"))

    assert message.keys() == HEADERS
    assert message["From"] == "cabrank <no-reply@example.org>"
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == "Hello, Ada"
    assert message["Date"].datetime == NOON
    assert message["Message-ID"] == "<1@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"


def test_text_comes_before_html_and_both_arrive_as_written() -> None:
    message = read(composed())

    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), text.get_content()) == ("text/plain", "Guten Tag, Ada\r\nGrüße\r\n")
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>Grüße</p>\r\n")


def test_every_line_is_short_and_in_ascii() -> None:
    """So that no server needs 8BITMIME, and none breaks a line."""
    content = composed(subject="Ü" * 500, name="ж" * 200).content

    assert content.isascii()
    assert all(len(line) <= 78 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_an_address_beyond_ascii_stands_in_the_header_as_it_is() -> None:
    message = composed(to="žofie@bücher.example")

    assert message.needs_utf8
    assert "To: žofie@xn--bcher-kva.example\r\n".encode() in message.content


def test_the_message_id_is_that_of_the_job() -> None:
    def made(queue: str, job_id: str) -> str:
        return message_id_for(queue=queue, job_id=job_id, domain="example.org")

    assert made("email", "1") == made("email", "1")
    assert len({made("email", "1"), made("email", "2"), made("sync", "1"), made("email1", ""), made("", "email1")}) == 5
    assert made("email", "1").endswith("@example.org>")
    assert read(composed()).defects == []


# U+0000 to U+001F, U+007F to U+009F, and what else starts a new line.
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0xD800)]
INJECTIONS = [
    *[f"Ada{control}Bcc: eve@example.org" for control in CONTROLS],
    "Ada\r\nBcc: eve@example.org",
    "Ada\r\n\r\n<p>the body",
    "Ada\n Bcc : eve@example.org",
    "=?utf-8?q?Ada=0ABcc:_eve@example.org?=",
    "=?utf-8?Q?Ada=0D=0ABcc:_eve@example.org?=",
    "=?utf-8?b?QWRhCkJjYzogZXZlQGV4YW1wbGUub3Jn?=",
    "=?UTF-8?B?QWRhDQpCY2M6IGV2ZUBleGFtcGxlLm9yZw==?=",
    "=?us-ascii?q?Ada=00?=",
    "=?utf-7?q?Ada+AAo-Bcc:_eve@example.org?=",
    "=?utf-16?b?QQBkAGEACgBCAGMAYwA6AA==?=",
    "=?utf-8*en?q?Ada=0ABcc:_eve@example.org?=",
    "Ada =?utf-8?q?=0A?= =?utf-8?q?Bcc:_eve@example.org?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3FAda=3D0ABcc:_eve=40example.org=3F=3D?=",
    "=?no-such-charset?q?=0A?=",
    "=?utf-8?b?not base64?=",
    "=?utf-8?q?Ada?=",
]


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize(("field", "refused"), [("subject", "Subject"), ("name", "name")])
def test_what_could_begin_another_header_is_refused(field: str, refused: str, injection: str) -> None:
    with pytest.raises(FieldRefused, match=f"^{refused} is refused"):
        composed(**{field: injection})


HARMLESS = [
    "Bcc: eve@example.org",
    "%0d%0aBcc: eve@example.org",
    "\\r\\nBcc: eve@example.org",
    "&#10;Bcc: eve@example.org",
    "eve@example.org>, <ada@example.org",
    'Ada" <eve@example.org>, "x',
    "Ada\\",
    "(comment) Ada",
    "Ada; Bcc=eve@example.org",
    "=?utf-8?q?Ada",
    "?= Ada =?",
    "--===============",
    "x" * 2000,
    "many words " * 200 + "end",
    "Ж" * 2000,
    "👩‍🔬" * 50,
    "a\u200dz\ufeff",
    "spaces   within",
    "no\u00a0break",
]


@pytest.mark.parametrize("text", HARMLESS)
@pytest.mark.parametrize("field", ["subject", "name"])
def test_what_only_looks_like_a_header_is_text(field: str, text: str) -> None:
    message = read(composed(**{field: text}))

    assert message.keys() == HEADERS
    assert shown(message, field) == text


@given(
    text=st.text(st.characters(exclude_categories=[])) | st.text('=?qb_ é,<>@"\\:;()\n', max_size=300),
    field=st.sampled_from(["subject", "name"]),
)
@example(text="é é", field="subject")
@example(text="=?x", field="name")
def test_any_text_arrives_as_it_is_or_is_refused(text: str, field: str) -> None:
    """But for white space around it."""
    try:
        message = read(composed(**{field: text}))
    except FieldRefused:
        return

    assert message.keys() == HEADERS
    assert shown(message, field).strip() == text.strip()


def shown(message: EmailMessage, field: str) -> str:
    """What a reader sees, decoded once by a parser that has not seen the text before."""
    if field == "subject":
        return str(message["Subject"])
    # policy.default puts spaces between the encoded words of a name, against RFC 2047: the older parser does not.
    written = dict(message.raw_items())["From"]
    [(name, address)] = getaddresses([written])
    assert address == "no-reply@example.org"
    return str(make_header(decode_header(name)))
