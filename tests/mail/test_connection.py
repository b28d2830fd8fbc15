"""How a conversation begins: names, encryption, login."""

from collections.abc import AsyncIterator

import pytest

from tests.mail.conftest import OpenPool, login, message_to
from tests.mail.sink import CERTIFICATE, Sink, server_side_tls
from workers.mail.connection import SmtpServer
from workers.mail.errors import Phase, Rejected, Unreachable
from workers.mail.message import Message


@pytest.fixture
async def starttls_sink() -> AsyncIterator[Sink]:
    async with Sink(tls_context=server_side_tls(), require_starttls=True).listening() as sink:
        yield sink


async def test_the_content_arrives_byte_for_byte(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    await open_pool(sink).deliver(message)

    [mail] = sink.mails
    assert mail.content == message.content
    assert (mail.mail_from, mail.rcpt_tos) == ("no-reply@example.org", ["ada@example.org"])


async def test_the_reply_is_read(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    reply = await open_pool(sink).deliver(message)

    assert (reply.code, reply.status, reply.text) == (250, "2.0.0", "kept as 1")


async def test_ehlo_says_the_address_that_the_server_sees(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    """A name would have to be asked of DNS, and is wrong in most containers."""
    await open_pool(sink).deliver(message)

    assert sink.names == ["[127.0.0.1]"]


async def test_ehlo_says_the_name_that_was_configured(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    await open_pool(sink, hello="worker-1.example.org").deliver(message)

    assert sink.names == ["worker-1.example.org"]


@pytest.mark.parametrize("encryption", ["auto", "starttls"])
async def test_starttls_encrypts_where_it_is_offered(
    starttls_sink: Sink, open_pool: OpenPool, message: Message, encryption: str
) -> None:
    pool = open_pool(starttls_sink, host="localhost", encryption=encryption, ca_file=CERTIFICATE)

    await pool.deliver(message)

    assert len(starttls_sink.mails) == 1
    # Said again: what the server offered in clear text may be forged.
    assert starttls_sink.names == ["[127.0.0.1]", "[127.0.0.1]"]


async def test_tls_encrypts_from_the_first_byte(open_pool: OpenPool, message: Message) -> None:
    async with Sink().listening(implicit_tls=True) as sink:
        pool = open_pool(sink, host="localhost", encryption="tls", ca_file=CERTIFICATE)

        await pool.deliver(message)

        assert len(sink.mails) == 1
        await pool.close()


async def test_auto_takes_a_server_that_offers_no_encryption(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    await open_pool(sink, encryption="auto").deliver(message)

    assert len(sink.mails) == 1


async def test_starttls_refuses_a_server_that_offers_no_encryption(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    with pytest.raises(Unreachable, match="STARTTLS") as caught:
        await open_pool(sink, encryption="starttls").deliver(message)

    assert caught.value.phase is Phase.ENCRYPT
    assert sink.mails == []


async def test_none_does_not_encrypt_though_it_is_offered(open_pool: OpenPool, message: Message) -> None:
    async with Sink(tls_context=server_side_tls()).listening() as sink:
        await open_pool(sink, encryption="none").deliver(message)

        assert len(sink.names) == 1


@pytest.mark.parametrize("encryption", ["auto", "starttls"])
@pytest.mark.parametrize(
    ("host", "ca_file"),
    [("localhost", None), ("127.0.0.1", CERTIFICATE)],
    ids=["unknown authority", "other name"],
)
async def test_a_certificate_that_cannot_be_trusted_ends_the_conversation(
    starttls_sink: Sink, open_pool: OpenPool, message: Message, encryption: str, host: str, ca_file: str | None
) -> None:
    """Never on in clear text: someone in between could have had their hand in it."""
    pool = open_pool(starttls_sink, host=host, encryption=encryption, ca_file=ca_file)

    with pytest.raises(Unreachable, match="certificate verify failed") as caught:
        await pool.deliver(message)

    assert caught.value.phase is Phase.ENCRYPT
    assert starttls_sink.mails == []


async def test_tls_with_a_server_that_speaks_none_is_unreachable(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    with pytest.raises(Unreachable, match="connect"):
        await open_pool(sink, encryption="tls").deliver(message)


async def test_login_follows_encryption(open_pool: OpenPool, message: Message) -> None:
    secured = Sink(tls_context=server_side_tls(), require_starttls=True, auth_required=True)
    async with secured.listening() as sink:
        pool = open_pool(sink, host="localhost", ca_file=CERTIFICATE, **login("right"))

        await pool.deliver(message)

        assert sink.logins == [(b"ada", b"right")]
        assert len(sink.mails) == 1


async def test_no_user_means_no_login(sink: Sink, open_pool: OpenPool, message: Message) -> None:
    await open_pool(sink).deliver(message)

    assert sink.logins == []


async def test_the_password_does_not_cross_the_wire_in_clear_text(open_pool: OpenPool, message: Message) -> None:
    async with Sink(auth_require_tls=False).listening() as sink:
        pool = open_pool(sink, encryption="auto", **login("right"))

        with pytest.raises(Unreachable, match="not sent without encryption"):
            await pool.deliver(message)

        assert sink.logins == []


async def test_the_password_crosses_in_clear_text_where_someone_asked_for_none(
    open_pool: OpenPool, message: Message
) -> None:
    async with Sink(auth_require_tls=False).listening() as sink:
        await open_pool(sink, encryption="none", **login("right")).deliver(message)

        assert sink.logins == [(b"ada", b"right")]


async def test_a_wrong_password_is_for_the_operator_to_mend(open_pool: OpenPool, message: Message) -> None:
    """No mail is lost by it: the jobs wait and say why."""
    async with Sink(auth_require_tls=False).listening() as sink:
        pool = open_pool(sink, encryption="none", **login("wrong"))

        with pytest.raises(Unreachable, match="AUTH was answered with 535") as caught:
            await pool.deliver(message)

    assert caught.value.phase is Phase.LOGIN


async def test_a_server_without_login_is_for_the_operator_to_mend(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    with pytest.raises(Unreachable, match="AUTH") as caught:
        await open_pool(sink, encryption="none", **login("right")).deliver(message)

    assert caught.value.phase is Phase.LOGIN


async def test_a_password_that_the_server_repeats_is_blotted_out(open_pool: OpenPool, message: Message) -> None:
    """Plain, in base64, and in the base64 of AUTH PLAIN."""
    said = "535 no: pa55word cGE1NXdvcmQ= AGFkYQBwYTU1d29yZA=="
    async with Sink(auth_require_tls=False).listening() as sink:
        sink.always("AUTH", said)

        with pytest.raises(Unreachable, match=r"535 no: \*\*\* \*\*\* \*\*\*$"):
            await open_pool(sink, encryption="none", **login("pa55word")).deliver(message)


def test_a_server_does_not_show_its_password() -> None:
    word = login("pa55word")["password"]
    assert word not in repr(SmtpServer(host="h", port=25, password=word))


async def test_an_address_beyond_ascii_goes_to_a_server_that_takes_it(open_pool: OpenPool) -> None:
    async with Sink(enable_SMTPUTF8=True).listening() as sink:
        await open_pool(sink).deliver(message_to("žofie@example.org"))

        [mail] = sink.mails
        assert mail.rcpt_tos == ["žofie@example.org"]
        assert "SMTPUTF8" in mail.mail_options


async def test_an_address_beyond_ascii_is_rejected_for_a_server_that_does_not_take_it(
    sink: Sink, open_pool: OpenPool, message: Message
) -> None:
    pool = open_pool(sink)

    with pytest.raises(Rejected, match="SMTPUTF8"):
        await pool.deliver(message_to("žofie@example.org"))

    await pool.deliver(message)
    assert sink.connections == 1


def test_an_unknown_encryption_is_refused() -> None:
    with pytest.raises(ValueError, match="ssl"):
        SmtpServer(host="h", port=25, encryption="ssl")  # type: ignore[arg-type]  # a word from outside
