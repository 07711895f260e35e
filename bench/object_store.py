"""A server of S3 beside the ones under test: rclone's, with its objects as files of a folder.

Moto, which the tests use, would be what is measured: it takes 150 MiB/s at most, and copies a whole
object for each range of it, which is how boto3 downloads.
"""

import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from obstore.store import S3Store

import servers
from servers import ENVIRONMENTS, START_TIMEOUT_S, Kind, Server, ServerFailed

BUCKET = "bench"
KEY, SECRET, REGION = "key", "secret", "us-east-1"
PROGRAM = "lib/python3*/site-packages/rclone_api/bin/rclone"


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """`folder` is the bucket's: what is put there is an object."""

    server: Server
    folder: Path

    @property
    def url(self) -> str:
        return f"http://{self.server.address.host}:{self.server.address.port}"

    def behind(self, kind: Kind) -> Kind:
        """The server as the proxy of this store."""
        return serving(kind, f"s3://{BUCKET}", self._variables)

    def boto3_client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name=REGION,
        )

    def obstore_client(self) -> S3Store:
        return S3Store(
            BUCKET,
            config={
                "endpoint": self.url,
                "access_key_id": KEY,
                "secret_access_key": SECRET,
                "region": REGION,
                "virtual_hosted_style_request": False,
            },
            client_options={"allow_http": True, "timeout": "600s"},
        )

    @property
    def _variables(self) -> Mapping[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "MLFLOW_S3_ENDPOINT_URL": self.url,
        }


def serving(kind: Kind, destination: str, variables: Mapping[str, str] | None = None) -> Kind:
    """The server with this destination of artifacts in place of its own."""

    def command(port: int, folder: Path, uri: str) -> list[str]:
        # Of an option that is given twice the last one counts.
        return [*kind.command(port, folder, uri), "--artifacts-destination", destination]

    return replace(kind, command=command, variables={**kind.variables, **(variables or {})})


@asynccontextmanager
async def object_store(folder: Path) -> AsyncGenerator[ObjectStore]:
    """Runs in the folder, which is empty, with one bucket."""
    servers.install("bench-s3")
    bucket = folder / "data" / BUCKET
    bucket.mkdir(parents=True)
    server = servers.spawn(Kind("s3", "S3 server", "", "", _command, {}, settle_s=0), folder)
    try:
        _wait_until_ready(server)
        yield ObjectStore(server, bucket)
    finally:
        servers.stop(server)


def _command(port: int, folder: Path, _uri: str) -> list[str]:
    (program,) = (ENVIRONMENTS / "bench-s3").glob(PROGRAM)
    address = ("--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}")
    # Or else it would hash what it sends whole, and nothing of what is asked for in ranges.
    plain = ("--config", "", "--no-checksum")
    return [str(program), "serve", "s3", *plain, *address, str(folder / "data")]


def _wait_until_ready(server: Server) -> None:
    while not _answers(server):
        late = time.monotonic() > server.started_at + START_TIMEOUT_S
        if late or server.process.poll() is not None:
            raise ServerFailed(f"{server.kind.title} did not start: {servers.last_lines(server)}")
        time.sleep(0.05)


def _answers(server: Server) -> bool:
    """It refuses one without a key, which is an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.address.port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
