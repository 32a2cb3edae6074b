"""This machine as a server's address: its names, and whether a port of it is free."""

import socket

from fama.errors import BadInput

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def need_free(port: int) -> None:
    """Refuse a port of loopback that another server holds.

    Raises:
        BadInput: names the port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed a moment ago is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"--port {port}: cannot be used ({error.strerror}); give another one") from None
