"""Where Redis is, in one URL, however it was told."""

import pytest

from server.settings import Settings


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"REDIS_HOST": "redis"}, "redis://redis:6379"),
        ({"REDIS_HOST": "redis", "REDIS_PORT": "7000"}, "redis://redis:7000"),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379"),
        ({"REDIS_HOST": "redis", "REDIS_PASSWORD": "p@ss/w:rd %"}, "redis://:p%40ss%2Fw%3Ard%20%25@redis:6379"),
        ({"REDIS_URL": "rediss://redis:6380/2"}, "rediss://redis:6380/2"),
        ({"REDIS_URL": "unix:///run/redis.sock"}, "unix:///run/redis.sock"),
        ({"REDIS_URL": "unix:///run/redis.sock", "REDIS_PASSWORD": "x"}, "unix://:x@/run/redis.sock"),
        ({"REDIS_URL": "redis://redis", "REDIS_HOST": "elsewhere"}, "redis://redis"),
        ({"REDIS_URL": "redis://redis/1", "REDIS_PASSWORD": "x"}, "redis://:x@redis/1"),
        ({"REDIS_URL": "redis://app@redis/1", "REDIS_PASSWORD": "x"}, "redis://app:x@redis/1"),
        ({"REDIS_URL": "redis://app:y@redis/1", "REDIS_PASSWORD": "x"}, "redis://app:y@redis/1"),
        (
            {"REDIS_URL": "redis+sentinel://a:26379,b:26379/main/1", "REDIS_PASSWORD": "x"},
            "redis+sentinel://:x@a:26379,b:26379/main/1",
        ),
        ({"REDIS_URL": "redis+cluster://a:1,b:2,c:3"}, "redis+cluster://a:1,b:2,c:3"),
    ],
)
def test_a_redis_is_one_url(variables: dict[str, str], url: str) -> None:
    assert Settings.from_environment(variables).redis_url == url


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"REDIS_PORT": "6379", "REDIS_PASSWORD": "x"},
        {"REDIS_HOST": "redis", "REDIS_ENABLED": "false"},
        {"REDIS_URL": "redis://redis", "REDIS_ENABLED": "false"},
    ],
)
def test_without_a_host_or_with_redis_off_there_is_none(variables: dict[str, str]) -> None:
    assert Settings.from_environment(variables).redis_url is None
