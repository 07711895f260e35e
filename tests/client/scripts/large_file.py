"""A file up and down again, of as many bytes as are asked for."""

import hashlib
import json
import os
import sys
from pathlib import Path

import mlflow

content = os.urandom(int(sys.argv[1]))
Path("large.bin").write_bytes(content)

with mlflow.start_run() as run:
    mlflow.log_artifact("large.bin", "models/of two words")

path = mlflow.artifacts.download_artifacts(
    run_id=run.info.run_id, artifact_path="models/of two words/large.bin"
)
same = hashlib.sha256(Path(path).read_bytes()).digest() == hashlib.sha256(content).digest()
print(json.dumps(same))
