"""Which ports can be had, asked before anything is started on them."""

import random
import socket
from contextlib import suppress

from server.dev.errors import PortTaken, StackError
from server.settings import Address

_OURS = range(16_384, 21_384)
_MARK = 5_000  # above a port of ours lies the one that marks it as given away,
_BUS = 10_000  # and the cluster bus of a server on it: all below the ports that outgoing connections get


def check(setting: str, address: Address) -> None:
    """Raises PortTaken, which names `setting`, when no server could listen there now."""
    try:
        _try(address)
    except OSError as fault:
        raise PortTaken(setting, address, reason=fault.strerror or str(fault)) from fault


def free_port() -> int:
    """A port of 127.0.0.1 for a server, also for one with a cluster bus.

    As long as this process lives, nobody who asks here gets it again, in whichever process.
    """
    for port in random.sample(_OURS, len(_OURS)):
        with suppress(OSError), socket.socket() as mark:
            mark.bind(("127.0.0.1", port + _MARK))
            _try(Address(host="127.0.0.1", port=port))
            _try(Address(host="127.0.0.1", port=port + _BUS))
            mark.detach()  # stays bound until the process ends
            return port
    raise StackError(f"every port from {_OURS.start} to {_OURS.stop} of 127.0.0.1 is taken")


def _try(address: Address) -> None:
    family, _, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family) as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
