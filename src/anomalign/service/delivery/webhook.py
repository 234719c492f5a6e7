"""Webhooks: each message is one signed HTTP POST, as the Standard Webhooks specification has it."""

import base64
import binascii
import hashlib
import hmac
import http.client
import os
import socket
import ssl
import string
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from anomalign import __version__
from anomalign.errors import InputError
from anomalign.service.delivery.addresses import expand, shown, split
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.store import Message

SECRET_VARIABLE = "ANOMALIGN_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)  # by the specification
_LIMIT_S = 15.0  # from the first byte to the head of the answer


def read_secret(file: Path | None, environment: Mapping[str, str] = os.environ) -> bytes:
    """Read the secret that signs webhooks, from a file or from ``ANOMALIGN_WEBHOOK_SECRET``.

    Raises
    ------
    InputError
        There is none, or it is not ``whsec_`` (which may be missing) and 24 to 64 bytes as base64.
    """
    place = SECRET_VARIABLE if file is None else str(file)
    try:
        text = environment.get(SECRET_VARIABLE, "") if file is None else file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII text"
        raise InputError(f"{file}: the secret of webhooks cannot be read ({reason})") from error
    if not text.strip():
        raise InputError(
            f"{place}: no secret for webhooks; make one with `openssl rand -base64 32`, and give it to the service "
            f"in a file (webhook_secret_file) or in {SECRET_VARIABLE}, and to the receiver"
        )
    try:
        secret = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    least, most = _SECRET_BYTES
    if not least <= len(secret) <= most:
        raise InputError(
            f"{place}: the secret of webhooks must be {least} to {most} bytes as base64, with {_PREFIX} before it or "
            "not; make one with `openssl rand -base64 32`"
        )
    return secret


def signature(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """Sign a webhook: ``v1,`` and the HMAC-SHA256 of ``id.timestamp.body`` as base64.

    Parameters
    ----------
    secret : bytes
    id : str
        Header ``webhook-id``.
    timestamp : int
        Header ``webhook-timestamp``: when it is sent, in seconds since 1970.
    body : bytes
    """
    signed = f"{id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}"


class Webhook:
    """Posts messages to a URL; any 2xx is a confirmation, any other answer a failure. Redirects are not followed.

    Parameters
    ----------
    url : str
        ``https://`` or ``http://``; ``${NAME}`` is put in from the environment and never shown.
    secret : bytes
    limit_s : float
        Time for one attempt, in seconds.

    Raises
    ------
    InputError
        The URL is not valid.
    """

    def __init__(self, url: str, secret: bytes, limit_s: float = _LIMIT_S) -> None:
        if split(url, ("http", "https")).username is not None:
            raise InputError(f"{shown(url)}: the URL of a webhook has no user; the signature says who sends it")
        expanded = expand(url)
        parts = split(expanded, ("http", "https"), shown(url))
        if "#" in expanded:
            raise InputError(f"{shown(url)}: the part behind a # is never sent; write %23 for a # that belongs to it")
        self._shown, self._secret, self._limit_s = shown(url), secret, limit_s
        self._host, self._port = str(parts.hostname), parts.port
        # HTTP knows ASCII only; what is encoded already stays as it is.
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), string.punctuation)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def open(self) -> None:
        """Do nothing: each message has its own connection."""

    def close(self) -> None:
        """Do nothing."""

    def deliver(self, message: Message) -> None:
        """Post a message.

        Raises
        ------
        DeliveryError
            The receiver cannot be reached, does not answer in time, or with another status than 2xx.
        """
        body, timestamp = message.to_json().encode(), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"anomalign/{__version__}",
            "Webhook-Id": message.id,
            "Webhook-Timestamp": str(timestamp),
            "Webhook-Signature": signature(self._secret, message.id, timestamp, body),
        }
        connection, end = self._connection(), time.monotonic() + self._limit_s
        # A receiver that sends a byte now and then keeps every read from its own limit of time.
        guard = threading.Timer(self._limit_s, _cut, (connection,))
        try:
            connection.connect()
            guard.start()
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
            if time.monotonic() >= end:  # what the guard cut off looks like the end of the headers
                raise TimeoutError
        except (OSError, http.client.HTTPException, ValueError) as error:
            is_late = time.monotonic() >= end or isinstance(error, TimeoutError)
            reason = f"no answer within {self._limit_s:g} s" if is_late else _reason(error)
            raise DeliveryError(f"{self._shown}: {reason}") from None  # the cause may show what the URL hides
        finally:
            guard.cancel()
            connection.close()
        if not 200 <= answer.status < 300:
            raise DeliveryError(f"{self._shown}: answers {answer.status} {_plain(answer.reason)}".rstrip())

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._limit_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._limit_s, context=self._tls)


def _cut(connection: http.client.HTTPConnection) -> None:
    """End a connection that another thread waits for."""
    if connection.sock is not None:
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended already
            return


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    return getattr(error, "strerror", None) or f"no HTTP answer ({type(error).__name__})"


def _plain(text: str) -> str:
    """A short text of the receiver, as one line for logs and pages."""
    return "".join(character for character in text if character.isprintable())[:60]
