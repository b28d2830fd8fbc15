"""Which ports can be had, asked before anything is started on them."""

import contextlib
import random
import socket

from server.dev.errors import PortTaken, StackError
from server.settings import Address

# With their cluster bus, 10,000 above, these lie below the ports that outgoing connections get.
_OURS = range(16_384, 22_768)


def check(setting: str, address: Address) -> None:
    """Raises PortTaken, which names `setting`, when no server could listen there now."""
    try:
        _try(address)
    except OSError as fault:
        raise PortTaken(setting, address, reason=fault.strerror or str(fault)) from fault


def free_port() -> int:
    """A port of 127.0.0.1 that can be had, together with the cluster bus that would belong to it."""
    for port in random.sample(_OURS, len(_OURS)):
        with contextlib.suppress(OSError):
            _try(Address(host="127.0.0.1", port=port))
            _try(Address(host="127.0.0.1", port=port + 10_000))
            return port
    raise StackError(f"every port from {_OURS.start} to {_OURS.stop} of 127.0.0.1 is taken")


def _try(address: Address) -> None:
    family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
