"""MLflow's own client makes, tries and deletes webhooks, beside one that it cannot read."""

from pathlib import Path

import pytest
from tests.api.protocol import accepted
from tests.fixtures.environments import Environment
from tests.fixtures.receiver import Reply, receiving
from tests.fixtures.server import serving

pytestmark = pytest.mark.client

OPEN = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
}


@pytest.mark.parametrize("client", ["mlflow-3.17", "mlflow-newest"], indirect=True)
def test_webhooks_live(client: Environment, tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        event = {"entity": "RUN", "action": "FINISHED"}
        ours = {"name": "runs", "url": receiver.url, "events": [event]}
        accepted(server.post("webhooks", ours))
        receiver.replies.append(Reply(200, {}, b"thanks"))
        ended = client.run("webhooks.py", receiver.url, url=server.url, folder=tmp_path)
        assert ended.told == {
            "created": ["to-ci", "builds", "ACTIVE", ["model_version.created", "prompt_tag.set"]],
            "active": True,
            "same": True,
            "listed": [["hook1", "hook0"], ["to-ci"]],
            "first": [True, 200, "thanks"],
            "other": True,
            "updated": ["renamed", "builds", "DISABLED", ["registered_model.created"]],
            "gone": "RESOURCE_DOES_NOT_EXIST",
            "refused": "INVALID_PARAMETER_VALUE",
        }
        told = [each.event for each in receiver.arrived]
        assert told == ["model_version.created", "model_version_alias.deleted"]
        assert all("x-mlflow-signature" in each.headers for each in receiver.arrived)
