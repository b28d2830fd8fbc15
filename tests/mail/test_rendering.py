"""From values and templates to what a reader sees."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workers.mail.address import Mailbox
from workers.mail.brand import Brand
from workers.mail.errors import FieldRefused, TemplateBroken
from workers.mail.mails import Mail, PasswordReset, PaymentReceipt, VerificationCode, Welcome
from workers.mail.rendering import Templates

BRAND = Brand(
    name="Lumen & Co",
    support=Mailbox.parse("Help <help@example.org>"),
    link_base="https://learn.example.org",
)
RECEIPT = PaymentReceipt(
    first_name="Ada",
    course_title="Algebra",
    course_url="https://learn.example.org/courses/algebra",
    payment_id="payment-1",
    amount="49.90",
    currency="EUR",
    provider="Stripe",
    reference="R-2041-0017",
    paid_at=datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
)
MAILS = [
    VerificationCode(code="123456", first_name="Ada"),
    PasswordReset(reset_token="a/b+c=", first_name="Ada"),  # noqa: S106 -- sealed to nobody
    Welcome(first_name="Ada", course_title="Algebra", course_url="https://learn.example.org/courses/algebra"),
    RECEIPT,
]
each_mail = pytest.mark.parametrize("mail", MAILS, ids=lambda mail: mail.template)


@pytest.fixture(scope="module")
def templates() -> Templates:
    return Templates(brand=BRAND)


@each_mail
def test_both_parts_of_a_mail_greet_and_name_who_sends_it(templates: Templates, mail: Mail) -> None:
    rendered = templates.render(mail)

    assert "Hello Ada," in rendered.text
    assert "Hello Ada," in rendered.html
    assert "Lumen & Co\nQuestions? Write to help@example.org" in rendered.text
    assert "Lumen &amp; Co" in rendered.html
    assert 'href="mailto:help@example.org"' in rendered.html


@each_mail
def test_a_reader_without_a_name_is_greeted_all_the_same(templates: Templates, mail: Mail) -> None:
    rendered = templates.render(type(mail)(**{**mail.values(), "first_name": ""}))  # type: ignore[arg-type]

    assert "Hello,\n" in rendered.text
    assert "Hello,<" in rendered.html


@each_mail
def test_html_is_made_for_screen_readers_small_screens_and_the_dark(templates: Templates, mail: Mail) -> None:
    html = templates.render(mail).html

    assert '<html lang="en"' in html
    assert re.search(r"<title>[^<]+</title>", html)
    assert all("presentation" in table or "facts" in table for table in re.findall(r"<table[^>]*>", html))
    assert re.search(r'<div class="preheader" style="display: none[^>]+>[^<]+</div>', html)
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media (max-width: 480px)" in html


@each_mail
def test_styles_stand_in_the_tags(templates: Templates, mail: Mail) -> None:
    body = templates.render(mail).html.partition("<body")[2]

    assert re.search(r'<h1 style="[^"]*font-size: 22px', body)


@each_mail
def test_nothing_is_loaded_from_elsewhere(templates: Templates, mail: Mail) -> None:
    """No picture that counts who reads, no style sheet, no script."""
    assert not re.search(r"src=|<link|<script|@import|url\(", templates.render(mail).html)


@each_mail
def test_text_has_no_gaps_and_no_markup(templates: Templates, mail: Mail) -> None:
    text = templates.render(mail).text

    assert "\n\n\n" not in text
    assert text == f"{text.strip()}\n"
    assert not re.search(r"</?[a-z]+>|&amp;|{[{%]", text)


def test_a_verification_code_stands_in_both_parts_but_not_in_the_subject(templates: Templates) -> None:
    """Mail servers log subjects, and locked screens show them."""
    rendered = templates.render(VerificationCode(code="123456", first_name="Ada"))

    assert "\n    123456\n" in rendered.text
    assert ">123456<" in rendered.html
    assert "123456" not in rendered.subject


def test_a_reset_links_to_the_page_that_takes_the_token(templates: Templates) -> None:
    rendered = templates.render(PasswordReset(reset_token="a/b+c=&d"))  # noqa: S106 -- sealed to nobody

    link = "https://learn.example.org/reset-password?token=a%2Fb%2Bc%3D%26d"
    assert f"\n{link}\n" in rendered.text
    assert f'href="{link}"' in rendered.html


def test_a_reset_shows_the_token_where_there_is_no_page() -> None:
    rendered = Templates(brand=Brand(name="cabrank")).render(PasswordReset(reset_token="a/b&c"))  # noqa: S106 -- sealed to nobody

    assert "\na/b&c\n" in rendered.text
    assert ">a/b&amp;c<" in rendered.html
    assert "href" not in rendered.html.partition("<body")[2]


def test_a_receipt_says_what_was_paid_for_what_and_when(templates: Templates) -> None:
    rendered = templates.render(RECEIPT)

    assert rendered.subject == "Your receipt for Algebra"
    for fact in ("Algebra", "49.90 EUR", "2026-03-02 09:30 UTC", "Stripe", "R-2041-0017"):
        assert fact in rendered.text
        assert fact in rendered.html


def test_a_receipt_without_a_reference_shows_the_payment(templates: Templates) -> None:
    values = RECEIPT.values() | {"reference": "", "provider": ""}
    rendered = templates.render(PaymentReceipt(**values))  # type: ignore[arg-type]

    assert "Receipt:  payment-1\n" in rendered.text
    assert "Through" not in rendered.text + rendered.html


WALKS = [
    "{{7*7}}",
    "{% raw %}x",
    "{# gone? #}",
    "${7*7}",
    "{{ ''.__class__.__mro__ }}",
    "{{ brand.__init__.__globals__ }}",
    "{% include 'layout.html' %}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
]


@pytest.mark.parametrize("walk", WALKS)
def test_a_template_in_a_value_is_text(templates: Templates, walk: str) -> None:
    rendered = templates.render(Welcome(first_name=walk, course_title=walk))

    assert walk in rendered.subject
    assert f"Hello {walk}," in rendered.text
    assert f"Hello {walk.replace(chr(39), '&#39;')}," in rendered.html.replace("'", "&#39;")


@pytest.mark.parametrize("markup", ["<b>x</b>", "<script>x</script>", "</style><img src=x>", "&lt;b&gt;", "\"'>"])
def test_markup_in_a_value_is_text(templates: Templates, markup: str) -> None:
    """Also after styles have been put into the tags, for which the page is parsed and written anew."""
    plain, told = (templates.render(Welcome(first_name=name, course_title="t")).html for name in ("Ada", markup))

    assert len(re.findall(r"<[a-z/!]", told)) == len(re.findall(r"<[a-z/!]", plain))
    assert markup not in told or markup == "\"'>"


@pytest.mark.parametrize("field", ["first_name", "code"])
@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "a\u2028b", "a\x1bb", "=?utf-8?q?a=0Ab?="])
def test_a_value_of_more_than_one_line_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(FieldRefused, match=f"^{field} is refused") as caught:
        VerificationCode(**{"code": "1", field: text})

    assert text not in str(caught.value)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//example.org", "https://", 'https://x"onclick=', "x"])
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(FieldRefused, match="course_url"):
        Welcome(course_title="Algebra", course_url=url)
    with pytest.raises(FieldRefused, match="link base"):
        Brand(name="cabrank", link_base=url)


def test_a_mail_does_not_show_its_secrets() -> None:
    assert "123456" not in repr(MAILS[0])
    assert "a/b+c=" not in repr(MAILS[1])


# Overrides


def test_one_file_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "verification_code.subject.txt").write_text("{{ first_name }}, your code for {{ brand.name }}\n")

    rendered = Templates(brand=BRAND, overrides=tmp_path).render(MAILS[0])

    assert rendered.subject.strip() == "Ada, your code for Lumen & Co"
    assert "Keep it to yourself" in rendered.text


def test_an_override_can_extend_what_it_takes_the_place_of(tmp_path: Path) -> None:
    (tmp_path / "verification_code.txt").write_text(
        '{% extends "cabrank/verification_code.txt" %}{% block greeting %}Ahoj {{ first_name }},{% endblock %}'
    )

    text = Templates(brand=BRAND, overrides=tmp_path).render(MAILS[0]).text

    assert text.startswith("Ahoj Ada,")
    assert "123456" in text


def test_an_overridden_layout_is_that_of_every_mail(tmp_path: Path) -> None:
    (tmp_path / "layout.html").write_text("<p class='ours'>{% block body %}{% endblock %}</p>")
    templates = Templates(brand=BRAND, overrides=tmp_path)

    assert all('<p class="ours">' in templates.render(mail).html for mail in MAILS)


def test_a_team_can_add_a_mail_of_its_own(tmp_path: Path) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Reminder(Mail):
        template = "reminder"

        course_title: str

    (tmp_path / "reminder.subject.txt").write_text("Do not forget {{ course_title }}")
    (tmp_path / "reminder.txt").write_text('{% extends "layout.txt" %}{% block body %}Go on!{% endblock %}')
    (tmp_path / "reminder.html").write_text('{% extends "layout.html" %}{% block body %}Go on!{% endblock %}')

    rendered = Templates(brand=BRAND, overrides=tmp_path).render(Reminder(course_title="Algebra"))

    assert rendered.subject == "Do not forget Algebra"
    assert "Go on!" in rendered.text
    assert "Go on!" in rendered.html


def test_text_templates_do_not_escape(tmp_path: Path) -> None:
    rendered = Templates(brand=BRAND).render(Welcome(first_name="Ada & Bob", course_title="<Algebra>"))

    assert rendered.subject.strip() == "Welcome to <Algebra>"
    assert "Hello Ada & Bob," in rendered.text


def test_a_template_that_does_not_compile_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "welcome.html").write_text("<p>\n{% course_url %}\n</p>")

    with pytest.raises(TemplateBroken, match=r"welcome\.html, line 2 is broken: .*course_url"):
        Templates(brand=BRAND, overrides=tmp_path)


def test_a_template_that_is_not_utf8_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt").write_bytes(b"Gr\xfc\xdfe")

    with pytest.raises(TemplateBroken, match=r"welcome\.txt is broken: UnicodeDecodeError"):
        Templates(brand=BRAND, overrides=tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{{ nickname }}", "'nickname' is undefined"),
        ("{{ first_name.nickname }}", "no attribute 'nickname'"),
        ("{% include 'nowhere.txt' %}", "nowhere.txt"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ first_name.__class__ }}", "SecurityError"),
        ("{{ brand.__init__.__globals__ }}", "SecurityError"),
        ("{% for n in range(100001) %}{% endfor %}", "OverflowError"),
        ("{% set _ = [].append(1) %}", "SecurityError"),
    ],
)
def test_a_template_that_fails_names_its_file_and_line(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "welcome.txt").write_text(f"Hello,\n\n{line}\n")
    templates = Templates(brand=BRAND, overrides=tmp_path)

    with pytest.raises(TemplateBroken, match=re.escape(reason)) as caught:
        templates.render(MAILS[2])

    assert (caught.value.template, caught.value.line) == (str(tmp_path / "welcome.txt"), 3)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(FieldRefused, match="no folder"):
        Templates(brand=BRAND, overrides=tmp_path / "nowhere")


def test_a_style_sheet_in_an_override_is_not_read(tmp_path: Path) -> None:
    """Neither from the network nor from this machine's files."""
    (tmp_path / "secret.css").write_text("p { color: red }")
    (tmp_path / "layout.html").write_text(
        f'<html><head><link rel="stylesheet" href="file://{tmp_path}/secret.css"></head><body><p>x</p></body></html>'
    )

    assert "red" not in Templates(brand=BRAND, overrides=tmp_path).render(MAILS[0]).html
