"""HTTP/1.1 as uvicorn speaks it, with a limit that uvicorn and its parser lack."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 131_072
"""The longest honest head is the query of 100 run ids, 4 KB. Endless ones would cost memory, and
time that grows with the square of their length.
"""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request line, headers, trailers or chunk extensions over the limit with 400."""

    _bytes_without_progress = 0

    def data_received(self, data: bytes) -> None:
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self._bytes_without_progress > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_headers_complete(self) -> None:
        self._bytes_without_progress = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_without_progress = 0
        super().on_body(body)
