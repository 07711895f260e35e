"""Files of any size through the server's process: 100 MiB in `make test`, GiB in `make soak`."""

import asyncio
import http.client
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import pytest
from tests.crash.test_kill import SOAK
from tests.fixtures.faults import Fault, proxying
from tests.fixtures.objects import S3Server
from tests.fixtures.server import Server, serving

MIB = 1024 * 1024
SIZES_MIB = {"local": 4096, "s3": 1024} if SOAK else {"local": 100, "s3": 100}
"""The server of S3 puts the parts together in memory, and says nothing for so long."""
TOGETHER = 4
RSS_MIB_MAX = 256
GROWTH_MIB_MAX = 64
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
BLOCK = bytes(range(256)) * (MIB // 256)


def content(mebibytes: int) -> Iterator[bytes]:
    """Each MiB is another one."""
    for number in range(mebibytes):
        yield number.to_bytes(8, "big") + BLOCK[8:]


def digest(chunks: Iterator[bytes]) -> bytes:
    found = blake2b()
    for chunk in chunks:
        found.update(chunk)
    return found.digest()


def upload(server: Server, path: str, mebibytes: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Content-Length": str(mebibytes * MIB)}
    connection.request("PUT", f"{PROXY}/{path}", content(mebibytes), headers)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"{}")
    connection.close()


def download(server: Server, path: str) -> bytes:
    """The digest of the file."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("GET", f"{PROXY}/{path}")
    answer = connection.getresponse()
    assert answer.status == 200
    found = digest(iter(lambda: answer.read(MIB), b""))
    connection.close()
    return found


def rss_mib(pid: int, field: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def peak_mib(pid: int, work: Callable[[], None]) -> float:
    """The most memory that the process had meanwhile."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    work()
    return rss_mib(pid, "VmHWM")


@pytest.mark.soak
@pytest.mark.timeout(3600 if SOAK else 120)
@pytest.mark.parametrize("kind", ["local", "s3"])
def test_memory_does_not_grow_with_files(s3_server: S3Server, tmp_path: Path, kind: str):
    bucket = s3_server.new_bucket()
    destination = f"s3://{bucket}/kept" if kind == "s3" else str(tmp_path / "kept")
    size_mib = SIZES_MIB[kind]
    each_mib = size_mib // TOGETHER
    with serving(tmp_path, "--artifacts-destination", destination, environ=s3_server.environ) as it:

        def up_and_down(name: str, mebibytes: int) -> None:
            upload(it, name, mebibytes)
            assert download(it, name) == digest(content(mebibytes))
            assert it.request("DELETE", f"{PROXY}/{name}").status == 200

        def together() -> None:
            with ThreadPoolExecutor(TOGETHER) as threads:
                names = [f"{number}.bin" for number in range(TOGETHER)]
                list(threads.map(up_and_down, names, [each_mib] * TOGETHER))

        up_and_down("first.bin", 1)
        before = rss_mib(it.pid, "VmRSS")
        alone = peak_mib(it.pid, lambda: up_and_down("alone.bin", size_mib))
        at_once = peak_mib(it.pid, together)
    sys.stdout.write(
        f"{kind}: {before:.0f} MiB before, {alone:.0f} at most with {size_mib} MiB, "
        f"{at_once:.0f} with {TOGETHER} of {each_mib} MiB at once\n"
    )
    assert max(alone, at_once) < RSS_MIB_MAX
    assert max(alone, at_once) - before < GROWTH_MIB_MAX


def test_a_client_that_leaves_amid_an_upload_leaves_nothing(s3_server: S3Server, tmp_path: Path):
    bucket = s3_server.new_bucket()
    uri = f"s3://{bucket}/kept"
    with serving(tmp_path, "--artifacts-destination", uri, environ=s3_server.environ) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("PUT", f"{PROXY}/d/f.bin")
        connection.putheader("Content-Length", str(64 * MIB))
        connection.endheaders()
        for chunk in content(40):
            connection.send(chunk)
        assert len(s3_server.uploads(uri)) == 1
        connection.close()
        while s3_server.uploads(uri):  # Until the test's time is over.
            assert server.request("GET", "/health").status == 200
        assert server.get("artifacts", prefix="/api/2.0/mlflow-artifacts/").json == {}


@pytest.mark.anyio
async def test_a_store_that_goes_amid_a_download_ends_it_as_an_error(
    s3_server: S3Server, tmp_path: Path
):
    """The client misses bytes that were announced, so that it keeps no short file.

    An answer of 403 in place of the rest, since the server would ask for long after any other.
    """
    bucket = s3_server.new_bucket()
    assert s3_server.request("PUT", f"/{bucket}/kept/f.bin", BLOCK * 4) == 200
    async with proxying(s3_server.port) as proxy:
        faults = [403, Fault.SHORT]
        proxy.fault = lambda asked: faults.pop() if asked == f"GET /{bucket}/kept/f.bin" else None
        uri = f"s3://{bucket}/kept"
        environ = s3_server.environ_at(proxy.port)

        def short_answer() -> None:
            with serving(tmp_path, "--artifacts-destination", uri, environ=environ) as server:
                server.request("GET", f"{PROXY}/f.bin")

        with pytest.raises(http.client.IncompleteRead):
            await asyncio.to_thread(short_answer)
