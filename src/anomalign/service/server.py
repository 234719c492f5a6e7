"""The server: it listens, and on a signal it inspects all accepted images before it stops."""

import logging
import signal
import socket
import threading
from types import FrameType

import uvicorn

from anomalign.errors import InputError
from anomalign.service.app import create_app
from anomalign.service.bootstrap import finish
from anomalign.service.container import Container
from anomalign.service.protocol import BoundedProtocol

_CONNECTIONS = 1000  # at once; more are answered with 503
_KEEP_ALIVE_S = 20
_GRACE_S = 30  # for clients that read their last response slowly

_log = logging.getLogger("anomalign.service")


def listen(host: str, port: int) -> socket.socket:
    """Open a socket to listen at.

    Raises
    ------
    InputError
        The address cannot be used.
    """
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        family, kind, protocol, _, socket_address = address
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket_address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot listen at {host} port {port} ({reason}); choose another host or port") from error
    return listener


def server(container: Container) -> uvicorn.Server:
    """Make the server of a service; ``run(sockets=[...])`` serves until SIGTERM or SIGINT."""
    configuration = uvicorn.Config(
        create_app(container),
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=["127.0.0.1", *container.configuration.proxies],
        date_header=True,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
    )
    return _Server(configuration, container)


class _Server(uvicorn.Server):
    """Answers all accepted images after the first signal, and then stops; a second signal stops it at once."""

    def __init__(self, config: uvicorn.Config, container: Container) -> None:
        super().__init__(config)
        self._container = container
        self._finishing = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._finishing:
            super().handle_exit(sig, frame)
            return
        self._finishing = True
        self._container.closing = True  # set first: from now on the service is not ready
        threading.Thread(target=self._finish, name="finish", args=(sig,)).start()

    def _finish(self, sig: int) -> None:
        _log.info("%s: finishing %d images", signal.Signals(sig).name, self._container.queue.depth)
        try:
            finish(self._container)
        finally:
            self.should_exit = True
