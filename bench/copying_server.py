"""An ASGI app that does nothing but copy a body to a file, or a file to an answer: the least that
a server under uvicorn can do with an artifact. It checks no path and syncs nothing.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FOLDER = Path("copies")


async def app(scope: Message, receive: Receive, send: Send) -> None:
    file = FOLDER / "-".join(scope["path"].split("/")[-2:])
    body = b"{}"
    if scope["method"] == "PUT":
        await _copy(receive, file)
    elif scope["path"] != "/health":
        body = file.read_bytes()
    length = str(len(body)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _copy(receive: Receive, file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        more = True
        while more:
            message = await receive()
            opened.write(message.get("body", b""))
            more = message.get("more_body", False)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
