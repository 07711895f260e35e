"""A stream on its way into an object store: in parts, by a library that must not be cancelled."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from riverrun.errors import InvalidParameterValue

PIECE_BYTES = 512 * 1024
"""The small chunks of a socket are gathered: each piece costs hops between threads."""
PART_BYTES_MIN = 5 * 1024 * 1024
"""The least that S3 takes; an upload holds one part more than it has in flight."""
PARTS_MAX = 10_000
FILE_BYTES_MAX = 5 * 1024**4  # What S3 and Google take; Azure takes more.
IN_FLIGHT_BYTES = 10 * 1024 * 1024
"""Of one upload that is alone; those that join it send one part at a time."""
PART_URL_S = 12 * 3600
"""How long a client may send the parts of an upload by itself."""


class UploadStopped(Exception):
    """Ends an upload from the side of its bytes, so that the library clears its parts away."""


class Feed:
    """Pieces handed from the task that receives them to the one that sends them on.

    The library asks for one at a time and cannot be cancelled: it would go on in the background and
    leave its parts behind. So it learns by an error, in place of a piece, that it is to stop.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> bytes:
        piece = await self._pieces.get()
        if piece is None:
            raise UploadStopped
        if not piece:
            raise StopAsyncIteration
        return piece

    async def offer(self, piece: bytes, sending: "asyncio.Task[None]") -> None:
        """Waits until there is room for it; an empty piece is the end.

        Raises what `sending` died of, and InvalidParameterValue beyond `bytes_max`.
        """
        self._bytes += len(piece)
        if self._bytes > self._bytes_max:
            raise InvalidParameterValue(
                f"The file is longer than {self._bytes_max} bytes: expected no more, as its length "
                "was not told beforehand by Content-Length, or is more than stores take"
            )
        putting = asyncio.ensure_future(self._pieces.put(piece))
        try:
            await asyncio.wait((putting, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
        if sending.done():
            sending.result()

    def stop(self) -> None:
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(None)


async def in_pieces(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes, gathered; only the last piece may be short, and none is empty."""
    gathered: list[bytes] = []
    size_bytes = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size_bytes += len(chunk)
        if size_bytes >= PIECE_BYTES:
            yield b"".join(gathered)
            gathered, size_bytes = [], 0
    if size_bytes:
        yield b"".join(gathered)


def part_bytes(size_bytes: int | None) -> int:
    """How long each part is, so that `PARTS_MAX` of them hold the file.

    A file of unknown size may have `PARTS_MAX` parts of the least size.
    """
    mebibyte = 1024 * 1024
    needed = -(-min(size_bytes or 0, FILE_BYTES_MAX) // PARTS_MAX)
    return max(PART_BYTES_MIN, -(-needed // mebibyte) * mebibyte)


def parts_in_flight(part: int, uploads: int) -> int:
    """How many parts one of so many uploads may send at once, where each part is held in memory."""
    return max(1, IN_FLIGHT_BYTES // part // uploads)


def checked_parts(parts: int) -> None:
    """Raises InvalidParameterValue for a number of parts that no cloud takes."""
    if not 1 <= parts <= PARTS_MAX:
        raise InvalidParameterValue(
            f"Invalid number of parts: expected 1 to {PARTS_MAX}, got {parts}"
        )
