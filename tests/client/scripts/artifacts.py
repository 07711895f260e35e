"""Files of every kind up, listed, and down again."""

import hashlib
import json
import random
import sys
from pathlib import Path

import mlflow
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

LARGE_BYTES = 50 * 1024 * 1024

mlflow.set_experiment(sys.argv[1])


def make_files():
    folder = Path("files")
    (folder / "deep/größe").mkdir(parents=True)
    (folder / "empty.bin").touch()
    (folder / "deep/größe/日本語 ✓ 100% & a+b.txt").write_text("これ")
    (folder / "large.bin").write_bytes(random.Random(7).randbytes(LARGE_BYTES))
    many = Path("many")
    many.mkdir()
    for number in range(100):
        (many / f"{number:03}.txt").write_text(f"number {number}\n")
    return folder, many


def digests(folder):
    files = [each for each in Path(folder).rglob("*") if each.is_file()]
    return {
        str(each.relative_to(folder)): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files
    }


def listed(path=None):
    found = mlflow.artifacts.list_artifacts(run_id=run.info.run_id, artifact_path=path)
    return [[each.path, each.is_dir, each.file_size] for each in found]


def log_pictures():
    """True where the libraries for pictures and tables are there."""
    try:
        import numpy as np
        from matplotlib.figure import Figure
    except ImportError:
        return False
    mlflow.log_image(np.zeros((4, 4, 3), dtype=np.uint8), "pictures/black.png")
    for step in (3, 17):  # Releases of 2.x write `%17` into the name, which is no escape.
        mlflow.log_image(np.ones((4, 4, 3), dtype=np.uint8), key="steps", step=step)
    figure = Figure()
    figure.subplots().plot([1, 2, 3])
    mlflow.log_figure(figure, "pictures/figure.png")
    mlflow.log_table({"x": [1, 2], "y": ["a", "b"]}, "table.json")
    return True


folder, many = make_files()
with mlflow.start_run() as run:
    mlflow.log_artifact("files/empty.bin")
    mlflow.log_artifacts("files", "files")
    mlflow.log_artifacts("many", "a/b/many")
    mlflow.log_text("héllo\n", "notes/a.txt")
    mlflow.log_dict({"b": [1, 2], "a": "ü"}, "notes/a.json")
    mlflow.log_dict({"b": [1, 2], "a": "ü"}, "notes/a.yaml")
    mlflow.log_text("replaced", "notes/a.txt")
    pictures = log_pictures()

uri = run.info.artifact_uri
try:
    mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes/none.txt")
    missing = None
except Exception as error:  # noqa: BLE001 - Releases raise different classes.
    missing = "none.txt" in str(error)


def after_deletion():
    """A folder goes; a run that was deleted still takes files and shows them, as upstream's do."""
    get_artifact_repository(uri).delete_artifacts("notes")
    client = mlflow.MlflowClient()
    client.delete_run(run.info.run_id)
    client.log_text(run.info.run_id, "late", "late/a.txt")
    return [listed("notes"), listed("late"), mlflow.artifacts.load_text(f"{uri}/late/a.txt")]


tree = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path="down")
one = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/notes/a.txt")
print(
    json.dumps(
        {
            "root": listed(),
            "notes": listed("notes"),
            "many": listed("a/b/many")
            == [
                [f"a/b/many/{path.name}", False, path.stat().st_size]
                for path in sorted(many.iterdir())
            ],
            "of a file": listed("notes/a.txt"),
            "of nothing": listed("nowhere"),
            "files": digests("files") == digests(Path(tree) / "files"),
            "many files": digests("many") == digests(Path(tree) / "a/b/many"),
            "one": Path(one).read_text(),
            "text": mlflow.artifacts.load_text(f"{uri}/notes/a.txt"),
            "json": mlflow.artifacts.load_dict(f"{uri}/notes/a.json"),
            "yaml": Path(tree, "notes/a.yaml").read_text(),
            "missing": missing,
            "pictures": [
                sorted(each.name for each in Path(tree, "pictures").iterdir()),
                len(list(Path(tree, "images").iterdir())),
                mlflow.artifacts.load_image(f"{uri}/pictures/black.png").size,
                mlflow.load_table("table.json", run_ids=[run.info.run_id]).values.tolist(),
            ]
            if pictures
            else None,
            "after deletion": after_deletion(),
        }
    )
)
