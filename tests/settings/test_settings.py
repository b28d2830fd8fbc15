"""What the service is told, and what holds when it is told nothing."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from server.settings import Address, Settings, SettingsError, every_setting


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.from_environment({})

    assert settings == Settings()
    assert str(settings.grpc_address) == "127.0.0.1:50051"
    assert str(settings.http_address) == "127.0.0.1:8080"
    assert settings.redis_url is None
    assert settings.lease == timedelta(seconds=15)
    assert settings.smtp.port == 587
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_an_empty_variable_counts_as_absent() -> None:
    """The guide's own example has `REDIS_PASSWORD=`, and compose files pass on what is not set as empty."""
    settings = Settings.from_environment(dict.fromkeys((each.name for each in every_setting()), ""))

    assert settings == Settings()


def test_the_guides_environment_works_unchanged() -> None:
    guide = """
        EMAIL_QUEUE_CONCURRENCY=5
        SYNC_QUEUE_CONCURRENCY=2
        PAYMENT_QUEUE_CONCURRENCY=3
        ENROLLMENT_QUEUE_CONCURRENCY=3
        NOTIFICATION_QUEUE_CONCURRENCY=5
        CLEANUP_QUEUE_CONCURRENCY=1
        JOB_MAX_RETRIES=3
        JOB_RETRY_DELAY=2000
        REDIS_ENABLED=true
        REDIS_HOST=localhost
        REDIS_PORT=6379
        REDIS_PASSWORD=
    """
    variables = {name: value for name, _, value in (line.partition("=") for line in guide.split())}

    settings = Settings.from_environment(variables)

    assert settings.redis_url == "redis://localhost:6379"
    assert settings.queues == Settings().queues, "the guide's figures are the defaults"


def test_every_default_means_the_same_when_it_is_written_down() -> None:
    """What the documentation shows as a default can be copied into an environment."""
    written = {each.name.replace("{QUEUE}", "EMAIL"): each.default for each in every_setting()}

    settings = Settings.from_environment(written)

    assert replace(settings, queue_variables={}) == Settings()
    assert settings.queues == Settings().queues


def test_every_setting_is_listed_once_with_a_sentence() -> None:
    names = [each.name for each in every_setting()]

    assert len(names) == len(set(names))
    assert all(each.says and len(each.says) <= 140 for each in every_setting())


def test_secrets_are_in_no_representation() -> None:
    settings = Settings.from_environment(
        {
            "REDIS_URL": "redis://:hunter2@redis:6379",
            "REDIS_PASSWORD": "hunter2",
            "SMTP_USER": "ada",
            "SMTP_PASSWORD": "hunter2",
        }
    )

    assert settings.redis_url == "redis://:hunter2@redis:6379"
    assert settings.smtp.password == "hunter2"  # noqa: S105 -- the test's own
    assert "hunter2" not in f"{settings!r} {settings}"


@pytest.mark.parametrize("name", [each.name for each in every_setting() if each.secret])
def test_a_secret_may_stand_in_a_file(name: str, tmp_path: Path) -> None:
    secret = "redis://:hunter2@redis:6379" if name == "REDIS_URL" else "hunter2"
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    others = {"SMTP_USER": "ada"} if name == "SMTP_PASSWORD" else {"REDIS_HOST": "redis"}

    assert Settings.from_environment({f"{name}_FILE": str(file), **others}) == Settings.from_environment(
        {name: secret, **others}
    )


def test_only_the_trailing_newline_of_a_secret_file_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" two words \r\n")

    settings = Settings.from_environment({"SMTP_USER": "ada", "SMTP_PASSWORD_FILE": str(file)})

    assert settings.smtp.password == " two words "  # noqa: S105 -- the test's own


def test_submission_over_tls_has_its_own_port() -> None:
    assert Settings.from_environment({"SMTP_TLS": "tls"}).smtp.port == 465
    assert Settings.from_environment({"SMTP_TLS": "tls", "SMTP_PORT": "2465"}).smtp.port == 2465
    assert Settings.from_environment({"SMTP_TLS": "starttls"}).smtp.port == 587


def test_words_are_read_in_any_case() -> None:
    settings = Settings.from_environment({"LOG_LEVEL": "WARNING", "CABRANK_REFLECTION": "Yes"})

    assert (settings.log_level, settings.reflection) == ("warning", True)


def test_modules_are_separated_by_commas() -> None:
    settings = Settings.from_environment({"CABRANK_TASK_MODULES": "shop.tasks, school.tasks"})

    assert settings.task_modules == ("shop.tasks", "school.tasks")


def test_the_link_base_can_be_followed_by_a_path() -> None:
    settings = Settings.from_environment({"CABRANK_LINK_BASE": "https://learn.example.org/app/"})

    assert settings.brand.link_base == "https://learn.example.org/app"


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().lease = timedelta(seconds=1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address(host="127.0.0.1", port=0)),
        ("[::1]:8080", Address(host="::1", port=8080)),
        ("[fe80::1%eth0]:80", Address(host="fe80::1%eth0", port=80)),
        ("my_service.internal:65535", Address(host="my_service.internal", port=65535)),
    ],
)
def test_an_address_is_written_as_it_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "host", "host:", "host:x", "host:65536", "::1:80", "[::1]", "a b:1", "h:1\n", "h:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"GRPC_ADDRESS is .* must "):
        Settings.from_environment({"GRPC_ADDRESS": text})
