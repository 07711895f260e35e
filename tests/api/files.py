"""The artifacts of one run, as tests of the API reach them."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tests.api.protocol import AJAX, accepted
from tests.fixtures.server import Answered, Server

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
LIST = "/api/2.0/mlflow/artifacts/list"
CONTENT = b"0123456789"


@dataclass(frozen=True)
class Files:
    """The artifacts of one run."""

    server: Server
    experiment: str
    run: str

    @property
    def root(self) -> str:
        return f"{self.experiment}/{self.run}/artifacts"

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        return self.call_raw(method, quote(path), body, **headers)

    def call_raw(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.request(method, f"{PROXY}/{self.root}/{path}", body, named)

    def put(self, path: str, body: bytes = CONTENT) -> None:
        assert self.call("PUT", path, body).status == 200

    def read(self, path: str, **headers: str) -> Answered:
        return self.call("GET", path, None, **headers)

    def list(self, **fields: str) -> Any:
        query = urlencode({"run_id": self.run, **fields})
        answer = accepted(self.server.request("GET", f"{LIST}?{query}"))
        assert answer["root_uri"] == f"mlflow-artifacts:/{self.root}"
        return answer.get("files")

    def list_proxied(self, path: str = "") -> Any:
        answer = self.server.request("GET", f"{PROXY}?{urlencode({'path': self.root + path})}")
        return accepted(answer).get("files")

    def get_artifact(self, **fields: str) -> Answered:
        return self.server.request("GET", f"/get-artifact?{urlencode(fields)}")

    def upload(self, body: bytes, **fields: str) -> Answered:
        path = f"{AJAX}upload-artifact?{urlencode(fields)}"
        return self.server.request("POST", path, body)
