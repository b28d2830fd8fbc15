"""What the stack embeds and what it tells its programs, by what the environment says."""

from pathlib import Path

from server.dev.plan import Plan
from server.settings import Address, Settings


def _names(plan: Plan) -> list[str]:
    return [program.name for program in (*plan.surroundings(), *plan.service(redis_url=None))]


def _told(plan: Plan, *, redis_url: str | None = None) -> Settings:
    """The settings that server and workers read in what they are told; both are told the same."""
    server, workers = plan.service(redis_url=redis_url)
    assert server.environment == workers.environment
    return Settings.from_environment(server.environment)


def test_everything_that_is_not_configured_is_embedded() -> None:
    plan = Plan.of({})

    assert plan.embeds_redis
    assert _names(plan) == ["sink", "platform", "server", "workers"]
    assert [setting for setting, _ in plan.ports()] == [
        "GRPC_ADDRESS",
        "HTTP_ADDRESS",
        "CABRANK_DEV_SMTP_ADDRESS",
        "CABRANK_DEV_PLATFORM_ADDRESS",
    ]


def test_nothing_that_is_configured_is_embedded() -> None:
    environment = {
        "REDIS_HOST": "redis.example.org",
        "SMTP_HOST": "smtp.example.org",
        "CABRANK_PLATFORM_ADDRESS": "backend.example.org:443",
    }

    plan = Plan.of(environment)

    assert not plan.embeds_redis
    assert _names(plan) == ["server", "workers"]
    assert [setting for setting, _ in plan.ports()] == ["GRPC_ADDRESS", "HTTP_ADDRESS"]
    assert _told(plan).redis_url == "redis://redis.example.org:6379"
    assert _told(plan).smtp.host == "smtp.example.org"
    assert _told(plan).platform_address == Address(host="backend.example.org", port=443)


def test_server_and_workers_are_told_where_the_embedded_parts_are() -> None:
    plan = Plan.of({"CABRANK_DEV_SMTP_ADDRESS": "127.0.0.1:2525", "CABRANK_DEV_PLATFORM_ADDRESS": "[::1]:6061"})

    told = _told(plan, redis_url="unix:///data/valkey.sock")

    assert told.redis_url == "unix:///data/valkey.sock"
    assert (told.smtp.host, told.smtp.port, told.smtp.tls) == ("127.0.0.1", 2525, "none")
    assert told.platform_address == Address(host="::1", port=6061)


def test_half_a_configuration_does_not_reach_the_embedded_parts() -> None:
    """The environment of a backend that has switched its Redis off still holds that server's password."""
    environment = {
        "REDIS_ENABLED": "false",
        "REDIS_HOST": "localhost",
        "REDIS_PASSWORD": "secret",
        "SMTP_USER": "cabrank",
        "SMTP_PASSWORD": "secret",
        "SMTP_TLS": "tls",
    }

    told = _told(Plan.of(environment), redis_url="unix:///data/valkey.sock")

    assert told.redis_url == "unix:///data/valkey.sock"
    assert (told.smtp.user, told.smtp.password, told.smtp.tls) == (None, "", "none")


def test_a_stack_is_made_to_be_looked_at_unless_the_user_says_otherwise() -> None:
    """An empty variable says nothing, as everywhere."""
    told = _told(Plan.of({"LOG_FORMAT": ""}))
    assert (told.log_format, told.reflection) == ("console", True)

    told = _told(Plan.of({"LOG_FORMAT": "json", "CABRANK_REFLECTION": "false"}))
    assert (told.log_format, told.reflection) == ("json", False)


def test_a_port_0_is_chosen_before_anybody_is_told() -> None:
    plan = Plan.of({"GRPC_ADDRESS": "127.0.0.1:0", "CABRANK_DEV_SMTP_ADDRESS": "127.0.0.1:0"})

    assert plan.settings.grpc_address.port > 0
    assert _told(plan).grpc_address == plan.settings.grpc_address
    assert _told(plan).smtp.port == plan.settings.stack.smtp_address.port > 0


def test_there_is_a_thread_for_every_job_that_may_run_at_once() -> None:
    _, workers = Plan.of({"EMAIL_QUEUE_CONCURRENCY": "50"}).service(redis_url=None)

    assert ("-t", str(50 + 2 + 3 + 3 + 5 + 1)) in zip(workers.argv, workers.argv[1:], strict=False)


def test_everything_that_is_kept_lies_in_the_data_folder() -> None:
    plan = Plan.of({"CABRANK_DATA_DIR": "/data"})

    assert plan.mail_dir == Path("/data/mail")
    assert plan.redis_dir.parent == Path("/data")


def test_a_port_for_redis_is_checked_like_the_others() -> None:
    plan = Plan.of({"CABRANK_DEV_REDIS_PORT": "6380"})

    assert ("CABRANK_DEV_REDIS_PORT", Address(host="127.0.0.1", port=6380)) in list(plan.ports())
