"""What is removed leaves no row in any table, and nothing else goes with it."""

from collections.abc import Generator, Mapping
from typing import Any

import pytest
from sqlalchemy import BigInteger, Double, Integer, LargeBinary, SmallInteger, Table
from tests.store.tables import Tables, tables_of

from riverrun.store import removal
from riverrun.store.engine import Tx
from riverrun.store.experiments import next_id
from riverrun.store.removal import MODEL, OF_EXPERIMENTS, REMOVING, ROWS_MAX, RUN, Due, Kind
from riverrun.store.schema import HOT, metadata

KINDS = {"runs": RUN, "logged_models": MODEL}
BEFORE, TIME, AFTER = 1_000, 2_000, 3_000

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)


@pytest.fixture
def tables(database: str) -> Generator[Tables]:
    with tables_of(database) as tables:
        yield tables


def row_of(table: Table, given: Mapping[str, Any]) -> tuple[object, ...]:
    """A row with these values, and any in its other columns."""
    return tuple(given.get(column.name, any_value(column.type)) for column in table.columns)


def any_value(of: object) -> object:
    match of:
        case BigInteger() | Integer() | SmallInteger():
            return 1
        case Double():
            return 1.0
        case LargeBinary():
            return b"\1" * 16
        case _:
            return "x"


def add(tables: Tables, table: str, **given: object) -> None:
    tables.insert(table, row_of(metadata.tables[table], given))


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def add_run(tables: Tables, number: int, stage: str, *, deleted: int | None = TIME, at: int = 1):
    """In experiment 1."""
    add(
        *(tables, "runs"),
        run_id=key(number),
        experiment_id=1,
        lifecycle_stage=stage,
        deleted_time=deleted,
        written_at=TIME,
        start_time=at,
    )


def add_model(tables: Tables, number: int, stage: str, *, deleted: int = TIME, at: int = 1):
    add(
        *(tables, "logged_models"),
        model_id=key(number),
        experiment_id=1,
        lifecycle_stage=stage,
        last_updated_timestamp=deleted,
        creation_timestamp=at,
    )


def counts(tables: Tables, column: str, value: object) -> dict[str, int]:
    """The rows that each table has with this value, by the tables that have any."""
    found: dict[str, int] = {}
    for table in metadata.tables.values():
        # Runs name models by their public ids, which are no keys.
        if column in table.columns and (column, table.name) != ("model_id", "run_models"):
            sql = f"SELECT count(*) FROM {table.name} WHERE {column} = ?"
            found[table.name] = tables.fetch(sql, (value,))[0][0]
    return {name: count for name, count in found.items() if count}


def test_every_table_goes_with_something():
    """A new table must say with what: else its rows would stay for good."""
    for table in metadata.tables.values():
        first = next(iter(table.primary_key)).name
        if table.info["kind"] == HOT:
            owner = RUN if first == RUN.key else MODEL
            assert first == owner.key, table.name
            assert table.name in {owner.table, *owner.parts}, table.name
        elif "experiment_id" in table.columns:
            assert table.name in {"experiments", *OF_EXPERIMENTS}, table.name


@kinds
def test_a_long_table_goes_in_the_order_of_its_key(kind: Kind):
    for name, order in kind.long:
        assert name in kind.parts
        whole = [column.name for column in metadata.tables[name].primary_key]
        assert whole == [kind.key, *order]


@kinds
def test_no_row_stays_and_no_other_goes(tables: Tables, kind: Kind):
    for table in (kind.table, *kind.parts):
        add(tables, table, **{kind.key: key(1)})
        add(tables, table, **{kind.key: key(2)})
    everything = dict.fromkeys((kind.table, *kind.parts), 1)
    assert everything.items() <= counts(tables, kind.key, key(1)).items()
    tables.write(lambda tx: removal.delete(tx, kind, key(1)))
    assert counts(tables, kind.key, key(1)) == {}
    assert counts(tables, kind.key, key(2)) == everything


def test_metrics_that_others_measured_of_a_run_stay_with_their_model(tables: Tables):
    add(tables, "logged_model_metrics", model_id=key(7), run_id=key(1))
    add_run(tables, 1, "deleted")
    tables.write(lambda tx: removal.delete(tx, RUN, key(1)))
    assert counts(tables, "model_id", key(7)) == {"logged_model_metrics": 1}


@pytest.mark.parametrize("rows", [0, 1, ROWS_MAX, ROWS_MAX + 1, 2 * ROWS_MAX + 3])
def test_long_tables_go_in_parts(tables: Tables, rows: int):
    chunks, log = metadata.tables["metric_chunks"], metadata.tables["metric_log"]
    # A few keys with many chunks each, so that the cut lies inside a key and between two.
    places = [{"run_id": key(1), "key_id": n // 400, "chunk_id": n % 400} for n in range(rows)]
    for part in range(0, rows, 100):
        tables.insert("metric_chunks", *[row_of(chunks, at) for at in places[part : part + 100]])
        seqs = [{"run_id": key(1), "seq": n} for n in range(part, min(part + 100, rows))]
        tables.insert("metric_log", *[row_of(log, at) for at in seqs])
    add(tables, "metric_chunks", run_id=key(2), key_id=0, chunk_id=0)
    steps = 0
    while tables.write(lambda tx: removal.delete_some(tx, RUN, key(1))):
        steps += 1
    assert steps == 2 * max(0, -(-rows // ROWS_MAX) - 1)
    assert all(count <= ROWS_MAX for count in counts(tables, "run_id", key(1)).values())
    assert counts(tables, "run_id", key(2)) == {"metric_chunks": 1}


def test_many_points_of_one_moment_go_in_parts(tables: Tables):
    """Only the last columns of the key tell them apart."""
    table = metadata.tables["logged_model_metrics"]
    points = [
        {"model_id": key(1), "run_id": key(n % 7), "dataset_name": f"d{n}"} for n in range(1_100)
    ]
    for part in range(0, len(points), 100):
        tables.insert(table.name, *[row_of(table, at) for at in points[part : part + 100]])
    steps = 0
    while tables.write(lambda tx: removal.delete_some(tx, MODEL, key(1))):
        steps += 1
    assert steps == 2
    assert counts(tables, "model_id", key(1)) == {"logged_model_metrics": 100}


def found(tables: Tables, due: Due, *, limit: int = 10) -> list[int]:
    """The numbers of those that are due, page by page."""
    numbers: list[int] = []
    after = None
    while page := tables.read(
        lambda tx, after=after: removal.page_due(tx, due, after=after, limit=limit)
    ):
        assert len(page) <= limit
        numbers += [int.from_bytes(each.key, "big") for each in page]
        after = page[-1]
    assert tables.read(lambda tx: removal.count_due(tx, due)) == len(numbers)
    return numbers


def test_due_is_what_was_deleted_in_time_and_what_is_being_removed(tables: Tables):
    add_run(tables, 1, "deleted")
    add_run(tables, 2, "deleted", deleted=AFTER)
    add_run(tables, 3, "active", deleted=None)
    add_run(tables, 4, REMOVING, deleted=AFTER)
    add_run(tables, 5, "deleted", deleted=None)  # Written last at TIME.
    add_model(tables, 1, "deleted")
    add_model(tables, 2, "deleted", deleted=AFTER)
    add_model(tables, 3, "active")
    assert found(tables, Due(RUN, 1, TIME)) == [1, 4, 5]
    assert found(tables, Due(RUN, 1, BEFORE)) == [4]
    assert found(tables, Due(RUN, 2, AFTER)) == []
    assert found(tables, Due(MODEL, 1, TIME)) == [1]
    assert found(tables, Due(MODEL, 1, 0, whole=True)) == [1, 2, 3]


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
@kinds
def test_pages_have_each_once_also_when_many_began_at_one_time(
    tables: Tables, kind: Kind, limit: int
):
    times = {1: 5, 2: 5, 3: 5, 4: 9, 5: 1, 6: 5}
    for number, at in times.items():
        (add_run if kind is RUN else add_model)(tables, number, "deleted", at=at)
    assert found(tables, Due(kind, 1, TIME), limit=limit) == [4, 1, 2, 3, 6, 5]


def test_experiments_with_something_deleted(tables: Tables):
    add(tables, "runs", run_id=key(1), experiment_id=1, lifecycle_stage="active")
    add(tables, "runs", run_id=key(2), experiment_id=2, lifecycle_stage="deleted")
    add(tables, "runs", run_id=key(3), experiment_id=3, lifecycle_stage=REMOVING)
    add(tables, "logged_models", model_id=key(4), experiment_id=4, lifecycle_stage="deleted")
    add(tables, "logged_models", model_id=key(5), experiment_id=5, lifecycle_stage="active")
    assert tables.read(lambda tx: removal.experiments_with_deleted(tx, 0, 9)) == {2, 3, 4}
    assert tables.read(lambda tx: removal.experiments_with_deleted(tx, 3, 3)) == {3}


def test_versions_come_in_pages_and_since_a_time(tables: Tables):
    add(tables, "registered_models", registered_model_id=key(1), name="a")
    add(tables, "registered_models", registered_model_id=key(2), name="b")
    for model, version, at in [(1, 1, BEFORE), (1, 2, AFTER), (2, 1, TIME)]:
        add(
            *(tables, "model_versions"),
            registered_model_id=key(model),
            version=version,
            last_updated_timestamp=at,
            source=f"source {model}/{version}",
        )
    pages: list[list[tuple[str, int, str]]] = []
    after = None
    while page := tables.read(lambda tx, after=after: removal.versions(tx, after=after, limit=2)):
        pages.append([(each.model, each.version, each.source) for each in page])
        after = page[-1]
    assert pages == [
        [("a", 1, "source 1/1"), ("a", 2, "source 1/2")],
        [("b", 1, "source 2/1")],
    ]
    recent = tables.read(lambda tx: removal.versions_since(tx, TIME))
    assert sorted((each.model, each.version) for each in recent) == [("a", 2), ("b", 1)]


def test_what_lies_elsewhere_is_what_its_location_does_not_name(tables: Tables):
    own, other = key(10), key(11)
    add(tables, "runs", run_id=own, artifact_uri=f"mlflow-artifacts:/1/{own.hex()}/artifacts")
    add(tables, "runs", run_id=other, artifact_uri=f"s3://bucket/{own.hex()}/100%/artifacts")
    expected = [(other, f"s3://bucket/{own.hex()}/100%/artifacts")]
    assert elsewhere(tables, RUN, limit=1) == [([], own), (expected, other), ([], b"")]
    assert elsewhere(tables, RUN, limit=2) == [(expected, other), ([], b"")]
    assert elsewhere(tables, RUN, limit=3) == [(expected, b"")]
    add(tables, "logged_models", model_id=own, artifact_uri=f"models/m-{own.hex()}/artifacts")
    assert elsewhere(tables, MODEL, limit=3) == [([], b"")]


def elsewhere(
    tables: Tables, kind: Kind, *, limit: int
) -> list[tuple[list[tuple[bytes, str]], bytes]]:
    """All that is found, part by part."""
    parts: list[tuple[list[tuple[bytes, str]], bytes]] = []
    after = b""
    while not parts or after:
        part = tables.read(
            lambda tx, after=after: removal.elsewhere(tx, kind, after=after, limit=limit)
        )
        parts.append(part)
        after = part[1]
    return parts


def test_an_experiment_goes_with_its_tags_and_datasets_and_its_id_is_not_given_again(
    tables: Tables,
):
    for number in (0, 7, 8):
        add(tables, "experiments", experiment_id=number, name=f"experiment {number}")
        add(tables, "experiment_tags", experiment_id=number)
        add(tables, "datasets", experiment_id=number, dataset_id=key(number))
    tables.write(lambda tx: removal.delete_experiment(tx, 8))
    assert counts(tables, "experiment_id", 8) == {}
    assert set(counts(tables, "experiment_id", 7)) == {"experiments", "experiment_tags", "datasets"}
    assert tables.write(next_id) == 9
    tables.write(lambda tx: removal.delete_experiment(tx, 7))
    assert tables.write(next_id) == 9


@kinds
def test_marking_changes_only_the_stage(tables: Tables, kind: Kind):
    (add_run if kind is RUN else add_model)(tables, 1, "deleted")
    before = tables.fetch(f"SELECT * FROM {kind.table}")

    async def work(tx: Tx) -> removal.State | None:
        await removal.mark(tx, kind, key(1))
        return await removal.take(tx, kind, key(1))

    assert tables.write(work) == removal.State(REMOVING, TIME)
    after = tables.fetch(f"SELECT * FROM {kind.table}")
    stage = list(metadata.tables[kind.table].columns.keys()).index("lifecycle_stage")
    pairs = enumerate(zip(before[0], after[0], strict=True))
    assert [number for number, (old, new) in pairs if old != new] == [stage]
