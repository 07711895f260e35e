"""Servers that must not start."""

from tests.fixtures.server import Server

EXIT_S_MAX = 30


def refusal(server: Server) -> tuple[int, str]:
    """The exit code and the log of a server that ends by itself, without a traceback."""
    server.spawn()
    assert server.process
    try:
        code = server.process.wait(EXIT_S_MAX)
    finally:
        server.kill()
    assert "Traceback" not in server.log
    return code, server.log
