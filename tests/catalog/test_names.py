"""Names become parts of Redis keys, labels of metrics and words in logs: they are plain."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.catalog import is_queue_name, is_task_name
from server.catalog.names import nearest


@pytest.mark.parametrize("name", ["email", "a", "course-import", "course_import2", "q" * 63])
def test_a_queue_name_is_a_plain_word(name: str) -> None:
    assert is_queue_name(name)


@pytest.mark.parametrize(
    "name", ["", "Email", "1st", "-a", "_a", "a.b", "email.DQ", "a}b", "a:b", "a b", "email\n", "ë", "q" * 64]
)
def test_anything_else_is_no_queue_name(name: str) -> None:
    assert not is_queue_name(name)


@pytest.mark.parametrize("name", ["email.welcome", "welcome", "a.b.c2", "sync.moodle_courses", "t" * 100])
def test_a_task_name_is_plain_words_joined_by_dots(name: str) -> None:
    assert is_task_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "Email.welcome", "a-b", "a/b", "a.b\n", "a b", "2a", "t" * 101]
)
def test_anything_else_is_no_task_name(name: str) -> None:
    assert not is_task_name(name)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_no_name_holds_what_means_something_in_a_redis_key(name: str) -> None:
    plain = set("abcdefghijklmnopqrstuvwxyz0123456789_-.")

    assert not (is_queue_name(name) or is_task_name(name)) or set(name) <= plain


def test_the_nearest_names_come_nearest_first() -> None:
    names = ["email.welcome", "email.password_reset", "sync.courses"]

    assert nearest("email.welcom", names)[0] == "email.welcome"
    assert nearest("zzz", names) == []


def test_nothing_is_near_to_a_name_that_is_too_long() -> None:
    """The name comes from outside: looking at all of its 4 MB would hold up every other call."""
    assert nearest("t" * 100, ["t" * 99]) == ["t" * 99]
    assert nearest("t" * 101, ["t" * 100]) == []
