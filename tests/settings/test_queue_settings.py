"""What can be set per queue."""

from datetime import timedelta

import pytest

from server.settings import RateLimit, Retention, Settings, SettingsError


def test_the_built_in_queues_have_the_concurrency_that_callers_know() -> None:
    concurrency = {name: queue.concurrency for name, queue in Settings().queues.items()}

    assert concurrency == {
        "email": 5,
        "sync": 2,
        "payment": 3,
        "enrollment": 3,
        "notification": 5,
        "cleanup": 1,
    }


def test_a_queue_has_its_own_settings_before_those_of_every_queue() -> None:
    settings = Settings.from_environment(
        {
            "JOB_MAX_RETRIES": "7",
            "JOB_RETRY_DELAY": "500",
            "EMAIL_QUEUE_CONCURRENCY": "9",
            "EMAIL_QUEUE_RATE_LIMIT": "100/60s",
            "EMAIL_MAX_RETRIES": "0",
            "EMAIL_RETRY_DELAY": "10",
        }
    )

    email, sync = settings.queue("email"), settings.queue("sync")

    assert email.concurrency == 9
    assert email.rate_limit == RateLimit(count=100, period=timedelta(seconds=60))
    assert (email.max_retries, email.retry_delay) == (0, timedelta(milliseconds=10))
    assert (sync.max_retries, sync.retry_delay) == (7, timedelta(milliseconds=500))
    assert sync.rate_limit is None


def test_a_variable_brings_its_queue_into_being() -> None:
    settings = Settings.from_environment({"SMS_QUEUE_CONCURRENCY": "4", "PUSH_QUEUE_RATE_LIMIT": "5/s"})

    assert list(settings.queues)[6:] == ["push", "sms"]
    assert settings.queues["sms"].concurrency == 4
    assert settings.queues["push"].rate_limit == RateLimit(count=5, period=timedelta(seconds=1))


def test_a_queue_that_only_a_task_names_has_settings_too() -> None:
    settings = Settings.from_environment({"COURSE_IMPORT_MAX_RETRIES": "1"})

    queue = settings.queue("course-import")

    assert (queue.concurrency, queue.max_retries) == (5, 1)


def test_another_programs_variable_is_no_fault_until_its_queue_is_ours() -> None:
    """KAFKA_MAX_RETRIES belongs to someone else, as long as no task waits in a queue `kafka`."""
    settings = Settings.from_environment({"KAFKA_MAX_RETRIES": "endless"})

    assert "kafka" not in settings.queues
    with pytest.raises(SettingsError, match="KAFKA_MAX_RETRIES is 'endless'"):
        settings.queue("kafka")


def test_retention_is_by_age_and_by_count() -> None:
    settings = Settings.from_environment({"CABRANK_COMPLETED_RETENTION": "90m", "CABRANK_FAILED_KEPT": "0"})

    queue = settings.queue("email")

    assert queue.completed_retention == Retention(age=timedelta(minutes=90), count=10_000)
    assert queue.failed_retention == Retention(age=timedelta(days=30), count=0)


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("1/500ms", timedelta(milliseconds=500)),
        ("1/s", timedelta(seconds=1)),
        ("1/5m", timedelta(minutes=5)),
        ("1/24h", timedelta(days=1)),
        ("1/2d", timedelta(days=2)),
    ],
)
def test_a_rate_limit_may_have_any_unit(text: str, period: timedelta) -> None:
    assert RateLimit.parse(text) == RateLimit(count=1, period=period)
