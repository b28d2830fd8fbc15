"""Ports are asked for before anything is started on them."""

import socket

import pytest

from server.dev import ports
from server.dev.errors import PortTaken, StackError
from server.dev.ports import check, free_port
from server.settings import Address


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortTaken) as refusal:
            check("GRPC_ADDRESS", Address(host="127.0.0.1", port=port))

    assert str(refusal.value) == (
        f"GRPC_ADDRESS: cannot listen on 127.0.0.1:{port} (address already in use)."
        " Stop what runs there, or set GRPC_ADDRESS to another address"
    )


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(PortTaken, match=r"HTTP_ADDRESS: cannot listen on 192\.0\.2\.1:8080"):
        check("HTTP_ADDRESS", Address(host="192.0.2.1", port=8080))


def test_a_port_that_was_used_a_moment_ago_is_free() -> None:
    """A stack that is started again must not wait for the last one's connections to be forgotten."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        with socket.create_connection((address.host, address.port)):
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT

    check("GRPC_ADDRESS", address)


def test_a_free_port_leaves_room_for_the_cluster_bus() -> None:
    port = free_port()

    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 10_000)):
        assert port + 10_000 < 32_768


def test_a_free_port_is_given_to_one_asker_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens on it yet, and the askers may be processes that know nothing of each other."""
    given = free_port()
    monkeypatch.setattr(ports, "_OURS", range(given, given + 1))

    with pytest.raises(StackError, match="is taken"):
        free_port()
