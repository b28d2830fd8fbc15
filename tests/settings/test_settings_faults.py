"""What a person reads who got a setting wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.settings import Settings, SettingsError, every_setting


def faults(variables: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment(variables)
    return refused.value.faults


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SMTP_PORT", "0", "must be a whole number from 1 to 65535"),
        ("REDIS_PORT", "6379x", "must be a whole number from 1 to 65535"),
        ("REDIS_ENABLED", "maybe", "must be true or false"),
        ("REDIS_HOST", "red is", "must name a host"),
        ("EMAIL_QUEUE_CONCURRENCY", "0", "must be a whole number from 1 to 100000"),
        ("EMAIL_QUEUE_CONCURRENCY", "²", "must be a whole number"),
        ("EMAIL_QUEUE_RATE_LIMIT", "0/60s", "must have a count and a period above zero"),
        ("EMAIL_QUEUE_RATE_LIMIT", "100 per minute", "must be a count and a period, such as 100/60s"),
        ("EMAIL_MAX_RETRIES", "-1", "must be a whole number from 0 to 999"),
        ("EMAIL_RETRY_DELAY", "2s", "must be a whole number from 1 to 86400000"),
        ("JOB_RETRY_DELAY", "0", "must be a whole number from 1 to 86400000"),
        ("CABRANK_LEASE_SECONDS", "0.1", "must be a number of seconds from 0.5 to 3600"),
        ("CABRANK_LEASE_SECONDS", "nan", "must be a number of seconds from 0.5 to 3600"),
        ("CABRANK_SHUTDOWN_SECONDS", "4000", "must be a number of seconds from 0 to 3600"),
        ("CABRANK_FAILED_RETENTION", "30", "must be a duration, such as 500ms, 10s, 5m, 24h or 30d"),
        ("CABRANK_FAILED_RETENTION", "0s", "must be a duration from 1s to 3650d"),
        ("CABRANK_FAILED_RETENTION", "999999999d", "must be a duration from 1s to 3650d"),
        ("CABRANK_DURABILITY", "disk", "must be one of memory, fsync, replica"),
        ("SMTP_TLS", "ssl", "must be one of auto, starttls, tls, none"),
        ("SMTP_FROM", "Ada\nBcc: eve@example.org <ada@example.org>", "must be an address such as"),
        ("SMTP_FROM", "ada", "must be an address such as"),
        ("CABRANK_BRAND_NAME", "Learn\r\nBcc: eve@example.org", "must be one line without control characters"),
        ("CABRANK_LINK_BASE", "javascript:alert(1)", "must be an http or https URL"),
        ("CABRANK_LINK_BASE", "https://[::1", "must be an http or https URL"),
        ("CABRANK_LINK_BASE", "https://example.org/?next=", "must be an http or https URL"),
        ("CABRANK_TEMPLATE_DIR", "/no/such/folder", "must be an existing directory"),
        ("CABRANK_TASK_MODULES", "shop.tasks;school.tasks", "must be names of Python modules"),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error, critical"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str, allowed: str) -> None:
    [fault] = faults({name: value})

    assert fault.startswith(f"{name} is {value!r}, but {allowed}")
    assert fault.endswith(".")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"SMTP_PORT": "x", "LOG_LEVEL": "loud", "SYNC_QUEUE_CONCURRENCY": "many"})

    sentences = str(refused.value).splitlines()
    assert len(sentences) == len(refused.value.faults) == 3


def test_a_wrong_secret_is_not_repeated() -> None:
    [fault] = faults({"REDIS_URL": "http://:hunter2@redis"})

    assert fault.startswith("REDIS_URL must be a URL with redis://")
    assert "hunter2" not in fault


def test_a_secret_in_its_variable_and_in_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2")

    [fault] = faults({"REDIS_PASSWORD": "hunter2", "REDIS_PASSWORD_FILE": str(file)})

    assert fault == "REDIS_PASSWORD and REDIS_PASSWORD_FILE are both set, but must be only one of the two."


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")

    [missing] = faults({"REDIS_PASSWORD_FILE": str(tmp_path / "none")})
    [folder] = faults({"REDIS_PASSWORD_FILE": str(tmp_path)})
    [unreadable] = faults({"REDIS_PASSWORD_FILE": str(binary)})

    assert missing.endswith("must be a readable file: No such file or directory.")
    assert folder.endswith("must be a readable file: Is a directory.")
    assert unreadable.endswith("must be a readable file: it is not UTF-8 text.")


@pytest.mark.parametrize("variables", [{"SMTP_USER": "ada"}, {"SMTP_PASSWORD": "hunter2"}])
def test_half_a_login_is_refused(variables: dict[str, str]) -> None:
    assert faults(variables) == ["SMTP_USER and SMTP_PASSWORD must be set both, or neither."]


def test_a_misspelt_setting_is_refused_with_the_right_name() -> None:
    assert faults({"CABRANK_LEASE_SECOND": "5"}) == [
        "CABRANK_LEASE_SECOND is no setting: did you mean CABRANK_LEASE_SECONDS?"
    ]
    assert faults({"CABRANK_XYZZY": "5"}) == ["CABRANK_XYZZY is no setting."]


@pytest.mark.parametrize(
    "name",
    [
        "CABRANK_TEST_REDIS",
        "CABRANK_SERVICE_HOST",
        "CABRANK_SERVICE_PORT_GRPC",
        "CABRANK_PORT",
        "CABRANK_PORT_50051_TCP_ADDR",
        "CABRANK_WEB_PORT_80_TCP",
    ],
)
def test_variables_of_tests_and_of_kubernetes_are_left_alone(name: str) -> None:
    """For a service named `cabrank`, Kubernetes sets such variables in every pod."""
    assert Settings.from_environment({name: "tcp://10.0.0.1:50051"}) == Settings()


def test_the_port_that_kubernetes_sets_for_a_service_named_redis_is_understood() -> None:
    settings = Settings.from_environment({"REDIS_HOST": "redis", "REDIS_PORT": "tcp://10.0.0.1:6380"})

    assert settings.redis_url == "redis://redis:6380"


def test_a_long_value_is_cut_short_and_stays_on_its_line() -> None:
    [fault] = faults({"LOG_LEVEL": "x\n" * 10_000})

    assert len(fault) < 400
    assert "\n" not in fault


NAMES = st.sampled_from([each.name.replace("{QUEUE}", "EMAIL") for each in every_setting()])


# The machine may be busy: how fast examples come says nothing about the code.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.text("0159.smhd/:-x@ \n", max_size=8) | st.text(max_size=20)))
def test_whatever_stands_in_the_environment_is_read_or_refused_by_name(variables: dict[str, str]) -> None:
    told: list[str] = []
    try:
        Settings.from_environment(variables)
    except SettingsError as refused:
        told = refused.faults
    assert all(any(name in fault for name in variables) for fault in told)
