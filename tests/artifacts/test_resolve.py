from pathlib import Path

import pytest

from riverrun.artifacts.contract import InvalidArtifactPath
from riverrun.artifacts.local import LocalStore
from riverrun.artifacts.memory import MemoryStore
from riverrun.artifacts.resolve import (
    LOCATION_LENGTH_MAX,
    join_uri,
    local_folder,
    open_store,
    proxied_path,
    validate_artifact_location,
)
from riverrun.errors import InvalidParameterValue


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("./mlartifacts", "mlartifacts"),
        ("/srv/my artifacts", "/srv/my artifacts"),
        ("/srv/100%20", "/srv/100%20"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("file:/srv/a", "/srv/a"),
        ("file://localhost/srv/a", "/srv/a"),
        ("FILE:///srv/a", "/srv/a"),
        ("file:relative", "relative"),
    ],
)
def test_a_local_path_or_file_uri_names_a_folder(uri: str, folder: str):
    assert local_folder(uri) == Path(folder)
    assert isinstance(open_store(uri), LocalStore)


def test_memory_is_a_store_for_trials():
    assert isinstance(open_store("memory://"), MemoryStore)


@pytest.mark.parametrize("uri", ["http://host/x", "mlflow-artifacts:/", "runs:/x", "r2://x"])
def test_what_is_no_store_is_refused(uri: str):
    with pytest.raises(InvalidParameterValue) as error:
        open_store(uri)
    assert error.value.message == (
        f"Invalid artifact store '{uri}': expected a local folder, `file:`, `memory:`, s3://, "
        "gs://, wasbs://, abfss:// or az://"
    )


@pytest.mark.parametrize("uri", ["file://host/srv", "file:///srv?x=1", "file:///srv#x"])
def test_a_file_uri_is_of_this_machine(uri: str):
    with pytest.raises(InvalidParameterValue, match="expected a folder of this machine"):
        open_store(uri)


@pytest.mark.parametrize(
    ("root", "parts", "joined"),
    [
        ("mlflow-artifacts:/", ("0",), "mlflow-artifacts:/0"),
        ("mlflow-artifacts:/1", ("run", "artifacts"), "mlflow-artifacts:/1/run/artifacts"),
        ("s3://bucket", ("0",), "s3://bucket/0"),
        ("s3://bucket/", ("0",), "s3://bucket/0"),
        ("s3://bucket/a/?v=1&w=/", ("0", "x"), "s3://bucket/a/0/x?v=1&w=/"),
        ("file:///", ("0",), "file:///0"),
        ("/", ("0",), "/0"),
        ("/srv/what?", ("0",), "/srv/what?/0"),
        ("./mlruns/", ("0",), "./mlruns/0"),
        ("C:\\mlruns", ("0",), "C:\\mlruns/0"),
        ("s3://bucket/a", (), "s3://bucket/a"),
    ],
)
def test_a_location_is_joined_before_its_query(root: str, parts: tuple[str, ...], joined: str):
    assert join_uri(root, *parts) == joined


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("mlflow-artifacts:/1/run/artifacts", "1/run/artifacts"),
        ("mlflow-artifacts:/", ""),
        ("mlflow-artifacts:///1/x", "1/x"),
        ("mlflow-artifacts://Host:5000/1/x", "1/x"),
        ("MLFLOW-ARTIFACTS:/1", "1"),
        ("mlflow-artifacts:/a%20b/c d?v=1", "a b/c d"),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1/x", "1/x"),
        ("https://host/prefix/api/2.0/mlflow-artifacts/artifacts/1/x", "1/x"),
        ("https://host/api/2.0/mlflow-artifacts/artifacts", ""),
        ("https://host/other/1/x", None),
        ("s3://bucket/1/x", None),
        ("/srv/1/x", None),
        ("ftp://host/api/2.0/mlflow-artifacts/artifacts/1", None),
    ],
)
def test_a_proxied_location_names_a_path_of_the_store(uri: str, path: str | None):
    assert proxied_path(uri) == path


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/../etc",
        "mlflow-artifacts:/1/%2e%2e/2",
        "mlflow-artifacts:/1#/../2",
        "http://host/api/2.0/mlflow-artifacts/artifacts/../../x",
    ],
)
def test_a_proxied_location_cannot_climb(uri: str):
    with pytest.raises(InvalidArtifactPath):
        proxied_path(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/1",
        "mlflow-artifacts:///1",
        "s3://bucket/a b/é",
        "s3://bucket/x?endpoint=1",
        "gs://bucket",
        "wasbs://container@account.blob.example/x",
        "dbfs:/x",
        "hdfs:///x",
        "/home/me/mlruns",
        "./mlruns",
        "relative/100%",
        "a..b",
        "C:\\Users\\me\\mlruns",
        "file:///home/me/mlruns",
        "file:///C:/mlruns",
        "x" * LOCATION_LENGTH_MAX,
    ],
)
def test_a_usual_location_is_fine(uri: str):
    validate_artifact_location(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://host/x",
        "sftp://user@host/x",
        "http://host/x",
        "HTTPS://host/x",
        "http:/x",
        "hdfs://host/x",
        "viewfs://host/x",
        "mlflow-artifacts://host/x",
        "mlflow-artifacts://host:5000/x",
        "r2://bucket@account/x",
        "b2://bucket/x",
        "abfss://fs@account/x",
        "file://host/share",
        "file:////host/share",
        "//host/share",
        "\\\\host\\share",
        "/\\host\\share",
    ],
)
def test_a_location_that_leads_to_a_host_is_refused(uri: str):
    with pytest.raises(InvalidParameterValue, match="leads to a host"):
        validate_artifact_location(uri)


def test_a_listed_scheme_or_the_own_host_is_let_in():
    validate_artifact_location("hdfs://host/x", {"hdfs"})
    own_roots = ["hdfs://NameNode:8020/root", "mlflow-artifacts://mine:5000/"]
    validate_artifact_location("hdfs://namenode:8020/else", own_roots=own_roots)
    validate_artifact_location("mlflow-artifacts://mine:5000/1", own_roots=own_roots)
    for other in ("hdfs://namenode/x", "viewfs://namenode:8020/x", "mlflow-artifacts://mine:1/x"):
        with pytest.raises(InvalidParameterValue):
            validate_artifact_location(other, own_roots=own_roots)


def test_the_length_has_a_limit():
    with pytest.raises(InvalidParameterValue) as error:
        validate_artifact_location("x" * (LOCATION_LENGTH_MAX + 1))
    assert error.value.message == "Invalid artifact location: longer than 2048 characters"
    with pytest.raises(InvalidParameterValue):
        validate_artifact_location("s3://bucket", length_max=10)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("runs:/x/y", "`runs:` names a run, not a place"),
        ("RUNS:/x", "`runs:` names a run, not a place"),
        ("s3://bucket/x;p=1", "it contains ';'"),
        ("s3://bucket/x?v=..", "its query contains '..'"),
        ("s3://bucket/x?v=%252e%252e", "its query contains '..'"),
        ("s3://bucket/../other", "it contains '..'"),
        ("s3://../x", "it contains '..'"),
        ("../up", "it contains '..'"),
        ("C:\\a\\..\\b", "it contains '..'"),
        ("/srv/%2e%2e/x", "it contains '..'"),
        ("s3://bucket/a\\b", "it contains a backslash"),
        (" s3://bucket", "it begins or ends with a blank"),
        ("s3://bucket\n", "it contains a control character or invalid Unicode"),
        ("ht\ttp://host", "it contains a control character or invalid Unicode"),
        ("/srv/a%00b", "it contains a control character or invalid Unicode"),
        ("/srv/\udcff", "it contains a control character or invalid Unicode"),
    ],
)
def test_an_odd_location_is_refused(uri: str, reason: str):
    with pytest.raises(InvalidParameterValue) as error:
        validate_artifact_location(uri)
    assert error.value.message == f"Invalid artifact location: {reason}"


# Attacks that were published against this protocol's locations, by their numbers.
def test_cve_2023_6909_a_traversal_in_the_query():
    with pytest.raises(InvalidParameterValue, match="its query contains"):
        validate_artifact_location("http:///?/../../../../../etc/")


def test_cve_2023_6974_a_location_that_makes_the_server_call_a_host():
    with pytest.raises(InvalidParameterValue, match="leads to a host"):
        validate_artifact_location("http://169.254.169.254/latest/meta-data/")


def test_cve_2024_1483_a_traversal_in_the_fragment():
    with pytest.raises(InvalidParameterValue, match="it contains '#'"):
        validate_artifact_location("http:///#/../../../../../etc/")


def test_cve_2024_1594_an_encoded_fragment():
    with pytest.raises(InvalidParameterValue, match="it contains '#'"):
        validate_artifact_location("mlflow-artifacts:/1%23/../../etc")


def test_cve_2024_2928_a_local_file_behind_a_fragment():
    with pytest.raises(InvalidParameterValue, match="it contains '#'"):
        validate_artifact_location("file:///tmp/x#../../etc")
