"""What a root means: who holds the artifacts, and what new experiments are told."""

from pathlib import Path

import pytest

from riverrun.settings import Settings
from riverrun.settings_values import SettingsError


def load(environ: dict[str, str] | None = None, **options: object) -> Settings:
    return Settings.load(options, environ or {})


def roots(environ: dict[str, str] | None = None, **options: object) -> tuple[str, str]:
    """Where the server keeps what passes through it, and what new experiments get."""
    settings = load(environ, **options)
    return settings.artifact_destination, settings.experiment_root


def refusal(environ: dict[str, str] | None = None, **options: object) -> str:
    with pytest.raises(SettingsError) as error:
        load(environ, **options)
    return str(error.value)


MLARTIFACTS = str(Path("mlartifacts").absolute())


# Local paths -------------------------------------------------------------------------------------


def test_a_local_default_root_becomes_the_proxys_own_store():
    assert roots(default_artifact_root="/data") == ("/data", "mlflow-artifacts:")
    assert roots(default_artifact_root="/data/") == ("/data", "mlflow-artifacts:")
    assert roots(default_artifact_root="file:///my%20data/") == ("/my data", "mlflow-artifacts:")
    assert roots(default_artifact_root="here") == (
        str(Path("here").absolute()),
        "mlflow-artifacts:",
    )


def test_a_local_default_root_beside_a_destination_is_handed_out():
    assert roots(default_artifact_root="/data/", artifacts_destination="/store") == (
        "/store",
        "/data",
    )
    assert roots(default_artifact_root="/data", artifacts_destination="s3://mlflow/") == (
        "s3://mlflow",
        "/data",
    )


def test_without_serving_a_local_root_is_handed_out():
    assert roots(default_artifact_root="/data", serves_artifacts=False) == ("/data", "/data")
    mlruns = str(Path("mlruns").absolute())
    assert roots(serves_artifacts=False) == (mlruns, mlruns)


def test_what_is_handed_out_as_a_path_is_a_root_of_the_servers():
    assert load(default_artifact_root="/data").own_artifact_roots == ()
    assert load(default_artifact_root="/data", serves_artifacts=False).own_artifact_roots == (
        "/data",
    )
    beside = load(default_artifact_root="/data", artifacts_destination="/store")
    assert beside.own_artifact_roots == ("/data",)


# Clouds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "s3://mlflow",
        "s3://my-bucket/mlflow-artifacts",
        "gs://project-mlflow-artifacts",
        "wasbs://container@account.blob.core.windows.net/path",
        "abfss://container@account.dfs.core.windows.net/a/b",
        "az://container/path",
    ],
)
def test_a_default_root_in_a_cloud_is_handed_out_and_opened_by_the_server_too(uri: str):
    for given in (uri, f"{uri}/", f"{uri}//"):
        settings = load(default_artifact_root=given)
        assert settings.experiment_root == uri
        assert settings.artifact_destination == MLARTIFACTS
        assert settings.own_artifact_roots == (uri,)
        assert settings.hands_out_cloud_root
        assert load(default_artifact_root=given, serves_artifacts=False).experiment_root == uri


def test_a_destination_in_a_cloud_is_behind_the_proxy():
    settings = load(artifacts_destination="s3://mlflow/")
    assert (settings.artifact_destination, settings.experiment_root) == (
        "s3://mlflow",
        "mlflow-artifacts:",
    )
    assert settings.own_artifact_roots == ("s3://mlflow",)
    assert not settings.hands_out_cloud_root


def test_a_root_and_a_destination_in_clouds_stand_side_by_side():
    both = load(artifacts_destination="s3://kept/x", default_artifact_root="gs://handed-out")
    assert (both.artifact_destination, both.experiment_root) == ("s3://kept/x", "gs://handed-out")
    assert set(both.own_artifact_roots) == {"s3://kept/x", "gs://handed-out"}


def test_guide_a_s_variable_names_the_root():
    environ = {"MLFLOW_ARTIFACT_ROOT": "gs://project-mlflow-artifacts"}
    assert roots(environ) == (MLARTIFACTS, "gs://project-mlflow-artifacts")
    environ["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = "s3://first"
    assert roots(environ)[1] == "s3://first"


@pytest.mark.parametrize("bucket", ["gs://my-bucket", "gs://my-bucket/"])
@pytest.mark.parametrize("folder", ["mlflow-artifacts-v1", "/mlflow-artifacts-v1/"])
def test_guide_e_s_bucket_and_folder_are_behind_the_proxy(bucket: str, folder: str):
    environ = {"MLFLOW_BUCKET_LOCATION": bucket, "MLFLOW_FOLDER_LOCATION": folder}
    settings = load(environ)
    assert settings.artifact_destination == "gs://my-bucket/mlflow-artifacts-v1"
    assert settings.experiment_root == "mlflow-artifacts:"


def test_a_bucket_needs_no_folder_and_a_destination_beats_it():
    environ = {"MLFLOW_BUCKET_LOCATION": "gs://my-bucket"}
    assert roots(environ) == ("gs://my-bucket", "mlflow-artifacts:")
    assert roots(environ, artifacts_destination="s3://other")[0] == "s3://other"
    assert roots(environ, default_artifact_root="/data") == ("gs://my-bucket", "/data")


def test_a_folder_without_a_bucket_is_refused():
    assert refusal({"MLFLOW_FOLDER_LOCATION": "x"}) == (
        "MLFLOW_FOLDER_LOCATION needs MLFLOW_BUCKET_LOCATION."
    )
    refused = refusal({"MLFLOW_BUCKET_LOCATION": "gs://b", "MLFLOW_FOLDER_LOCATION": "a/../b"})
    assert "without empty segments, '.' and '..'" in refused
    assert "expected s3://bucket" in refusal({"MLFLOW_BUCKET_LOCATION": "just-a-name"})


def test_former_roots_are_opened_too():
    roots = load(artifact_roots="s3://old/, gs://older/x,s3://old").own_artifact_roots
    assert roots == ("s3://old", "gs://older/x")
    assert "expected s3://bucket" in refusal(artifact_roots="/data")


def test_a_root_on_another_artifact_server_is_handed_out_without_a_double_slash():
    root = roots(default_artifact_root="mlflow-artifacts://other:5000/")[1]
    assert root == "mlflow-artifacts://other:5000"
    assert roots(default_artifact_root="mlflow-artifacts:/")[1] == "mlflow-artifacts:"


# What cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "s3://",
        "s3:///path",
        "s3:bucket",
        "s3://key:secret@bucket/x",
        "s3://bucket//x",
        "s3://bucket/a/../b",
        "s3://bucket/./b",
        "s3://bucket/x?v=1",
        "s3://bucket/x#y",
        "s3://bucket/a\\b",
    ],
)
def test_an_odd_place_in_a_cloud_is_refused(uri: str):
    for name in ("default_artifact_root", "artifacts_destination"):
        message = refusal(None, **{name: uri})
        assert "expected" in message
        assert "secret" not in message


@pytest.mark.parametrize("uri", ["http://h/x", "file://host/x", "dbfs:/x", "runs:/x", "r2://x"])
def test_other_roots_are_refused(uri: str):
    assert "expected" in refusal(default_artifact_root=uri)


def test_the_server_is_not_its_own_destination():
    assert "to itself" in refusal(artifacts_destination="mlflow-artifacts:/")


def test_memory_is_a_destination_for_trials():
    settings = load(artifacts_destination="memory://")
    assert settings.artifact_destination == "memory://"
    assert "gone when the server stops" in settings.warnings[0]
    assert "expected a local path" in refusal(default_artifact_root="memory://")
    assert "one process" in refusal(
        artifacts_destination="memory://", backend_store_uri="postgresql://h/x", workers="2"
    )


@pytest.mark.parametrize("seconds", ["0", "604801", "x"])
def test_a_signed_url_is_good_for_a_week_at_most(seconds: str):
    name = "MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS"
    assert "expected a whole number from 1 to 604800" in refusal({name: seconds})
    assert load({name: "604800"}).presigned_download_url_ttl_s == 604_800
    assert load().presigned_download_url_ttl_s == 300
