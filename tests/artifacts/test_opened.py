"""Which store holds what a URI names; what is nobody's of ours stays closed."""

import asyncio

import pytest

from riverrun.artifacts.contract import ArtifactStore, InvalidArtifactPath
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.opened import NotServed, Stores
from riverrun.errors import InvalidState, TemporarilyUnavailable

ROOTS = (
    "s3://mlflow/a",
    "s3://mlflow/a/inner",
    "gs://whole",
    "wasbs://c@account.example/x",
    "/data/mlruns",
    "s3://kept",
)


class Opening:
    """Opens stores in memory, and remembers of what."""

    def __init__(self) -> None:
        self.opened: dict[str, ArtifactStore] = {}

    def __call__(self, uri: str) -> ArtifactStore:
        assert uri not in self.opened, "it is open already"
        self.opened[uri] = MemoryStore()
        return self.opened[uri]


def place_of(uri: str, destination: str | None = "s3://kept") -> tuple[str, str]:
    """The root whose store holds it, and the path in that store."""
    opening = Opening()
    place = Stores(destination, ROOTS, opening).place(uri)
    [root] = [root for root, store in opening.opened.items() if store is place.store]
    return root, place.path


@pytest.mark.parametrize(
    ("uri", "root", "path"),
    [
        ("mlflow-artifacts:/1/run/artifacts", "s3://kept", "1/run/artifacts"),
        ("s3://kept/1/run/artifacts", "s3://kept", "1/run/artifacts"),
        ("s3://mlflow/a/1/run", "s3://mlflow/a", "1/run"),
        ("S3://MLFLOW/a/1", "s3://mlflow/a", "1"),
        ("s3://mlflow/a", "s3://mlflow/a", ""),
        ("s3://mlflow/a/", "s3://mlflow/a", ""),
        ("s3://mlflow/a/inner/x", "s3://mlflow/a/inner", "x"),
        ("s3://mlflow/a/innermost", "s3://mlflow/a", "innermost"),
        ("s3://mlflow/a/b c/100%/é", "s3://mlflow/a", "b c/100%/é"),
        ("gs://whole", "gs://whole", ""),
        ("gs://whole/x", "gs://whole", "x"),
        ("wasbs://C@Account.example/x/1", "wasbs://c@account.example/x", "1"),
        ("/data/mlruns/1/run/artifacts", "/data/mlruns", "1/run/artifacts"),
        ("file:///data/mlruns/1", "/data/mlruns", "1"),
    ],
)
def test_what_lies_below_a_root_is_in_its_store(uri: str, root: str, path: str):
    assert place_of(uri) == (root, path)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://mlflow",
        "s3://mlflow/",
        "s3://mlflow/ab",
        "s3://mlflow/b/1",
        "s3://other/a/1",
        "gs://mlflow/a/1",
        "s3a://mlflow/a/1",
        "s3://mlflow/A/1",
        "s3://key@mlflow/a/1",
        "s3://mlflow/a/1?versionId=x",
        "s3://mlflow/a/1#x",
        "s3://mlflow//a/1",
        "wasbs://other@account.example/x/1",
        "wasbs://c@other.example/x/1",
        "/data/mlruns2/1",
        "/data",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://host/data/mlruns/1",
        "data/mlruns/1",
        "//data/mlruns/1",
        "dbfs:/x",
        "http://host/x",
        "",
    ],
)
def test_everything_else_stays_closed(uri: str):
    opening = Opening()
    with pytest.raises(NotServed) as error:
        Stores("s3://kept", ROOTS, opening).place(uri)
    assert error.value.message == (
        f"These artifacts are at '{uri}', which this server does not serve. "
        "Read them there directly."
    )
    assert opening.opened == {}


@pytest.mark.parametrize(
    "uri",
    [
        "s3://mlflow/a/../b",
        "s3://mlflow/a/%2e%2e/b",
        "s3://mlflow/a/x//y",
        "s3://mlflow/a/x\\..\\y",
        "/data/mlruns/../../etc/passwd",
        "/data/mlruns/%2e%2e/x",
        "file:///data/mlruns/%2e%2e/%2e%2e/etc",
        "mlflow-artifacts:/../x",
    ],
)
def test_a_uri_that_climbs_out_of_a_root_is_refused(uri: str):
    with pytest.raises(InvalidArtifactPath):
        place_of(uri)


def test_a_store_is_opened_once():
    stores = Stores("s3://kept", ROOTS, Opening())
    assert stores.served() is stores.served() is stores.place("s3://kept/1").store


def test_a_server_without_the_proxy_still_reads_what_lies_in_its_roots():
    stores = Stores(None, ["s3://mlflow"], Opening())
    assert stores.place("s3://mlflow/1").path == "1"
    for ask in (stores.served, lambda: stores.place("mlflow-artifacts:/1")):
        with pytest.raises(TemporarilyUnavailable, match="--no-serve-artifacts"):
            ask()


class Unready(MemoryStore):
    """Fails to be prepared in the ways it is told, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__()
        self.failures = list(failures)
        self.asked = 0

    async def prepare(self) -> None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)


def test_a_store_that_is_out_of_reach_is_asked_again(caplog: pytest.LogCaptureFixture):
    away = TemporarilyUnavailable("it is away", retry_after_s=0)
    store = Unready(away, away)
    asyncio.run(Stores(None, ["s3://x"], lambda _: store).prepare("s3://x"))
    assert store.asked == 3
    assert [record.message for record in caplog.records] == ["artifact store out of reach"] * 2


def test_a_store_that_cannot_be_prepared_is_left_to_the_clients(caplog: pytest.LogCaptureFixture):
    store = Unready(InvalidState("no such bucket"))
    asyncio.run(Stores(None, ["s3://x"], lambda _: store).prepare("s3://x"))
    assert store.asked == 1
    assert [record.message for record in caplog.records] == ["artifact store not usable"]
