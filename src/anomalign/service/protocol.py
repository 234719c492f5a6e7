"""HTTP parsed by llhttp, with a limit on the size of headers, which llhttp does not have."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Size of the incomplete parts of a request that are not body: request line, headers, trailers, chunk sizes.

One read more may arrive.
"""


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection that sends more than `MAX_HEAD_BYTES` without completing a head or sending a body."""

    _unfinished = 0

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()
