"""Which addresses mail is sent to."""

import pytest

from workers.mail.address import Address, Mailbox
from workers.mail.errors import FieldRefused

WRITTEN = [
    ("ada@example.org", "ada@example.org"),
    ("Ada.Lovelace+news@Example.ORG", "Ada.Lovelace+news@example.org"),
    ("o'hara_%=x@a-b.example", "o'hara_%=x@a-b.example"),
    ("root@localhost", "root@localhost"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
    ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),  # the same word, spelt with a combining mark
    ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
    ("žofie@example.org", "žofie@example.org"),
    (f"{'a' * 64}@example.org", f"{'a' * 64}@example.org"),
    (f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 60}", f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 60}"),
]
REFUSED = [
    "",
    "ada",
    "@example.org",
    "ada@",
    "ada@@example.org",
    "ada@example.org, eve@example.org",
    "ada@example.org;eve@example.org",
    "Ada <ada@example.org>",
    "<ada@example.org>",
    " ada@example.org",
    "ada@example.org ",
    "ada lovelace@example.org",
    '"ada lovelace"@example.org',
    "ada(comment)@example.org",
    ".ada@example.org",
    "ada.@example.org",
    "a..b@example.org",
    "ada@.org",
    "ada@example..org",
    "ada@example.org.",
    "ada@-example.org",
    "ada@example-.org",
    "ada@exam_ple.org",
    "ada@192.0.2.1",
    "ada@[192.0.2.1]",
    "ada\u00a0lovelace@example.org",
    "ada\u202e@example.org",
    "ada@example.org SIZE=1",
    "ada@example.org> SIZE=1",
    f"{'a' * 65}@example.org",
    f"{'ž' * 33}@example.org",
    f"a@{'b' * 64}.org",
    f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 61}",
    f"ada@{'ü' * 80}.example",
    "ada@straße.example",  # IDNA 2003 would make it strasse.example, which is another domain
    "ada@\uff25xample.org",  # a wide E
    "ada@example。org",
]


@pytest.mark.parametrize(("given", "written"), WRITTEN)
def test_an_address_is_read(given: str, written: str) -> None:
    assert str(Address.parse(given, field="to")) == written


@pytest.mark.parametrize("given", REFUSED)
def test_what_is_no_single_address_is_refused(given: str) -> None:
    with pytest.raises(FieldRefused, match=r"^to is refused: it (is|has) "):
        Address.parse(given, field="to")


@pytest.mark.parametrize("control", ["\n", "\r", "\r\n", "\0", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"])
@pytest.mark.parametrize("place", ["a{}da@example.org", "ada@exam{}ple.org", "ada@example.org{}"])
def test_a_control_character_in_an_address_is_refused(place: str, control: str) -> None:
    with pytest.raises(FieldRefused, match=rf"control character .U.{ord(control[0]):04X}"):
        Address.parse(place.format(control), field="to")


def test_only_a_local_part_beyond_ascii_needs_smtputf8() -> None:
    assert Address.parse("žofie@example.org", field="to").needs_utf8
    assert not Address.parse("ada@bücher.example", field="to").needs_utf8


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("ada@example.org", ""),
        ("<ada@example.org>", ""),
        ("Ada Lovelace <ada@example.org>", "Ada Lovelace"),
        ('"Lovelace, Ada" <ada@example.org>', "Lovelace, Ada"),
        ("Ада <ada@example.org>", "Ада"),
    ],
)
def test_a_mailbox_is_read(given: str, name: str) -> None:
    mailbox = Mailbox.parse(given, field="SMTP_FROM")

    assert (mailbox.name, str(mailbox.address)) == (name, "ada@example.org")


@pytest.mark.parametrize(
    "given", ["Ada", "Ada <ada>", "Ada <a@b.c> <d@e.f>", "Ada <a@b.c> x", '"Ada <a@b.c>', "A\n<a@b.c>"]
)
def test_what_is_no_mailbox_is_refused(given: str) -> None:
    with pytest.raises(FieldRefused, match=r"^SMTP_FROM is refused"):
        Mailbox.parse(given, field="SMTP_FROM")
