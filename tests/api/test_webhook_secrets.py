"""Secrets of webhooks and the key that encrypts them: where they are kept, and where not."""

import base64
import stat
from pathlib import Path

import pytest
from tests.api.protocol import accepted, refused
from tests.api.webhooks import (
    CREATED,
    FINISHED,
    OPEN,
    SECRET,
    call_test,
    create,
    deliveries,
    end,
    ended,
    get,
    patch,
    result,
    signed,
    with_key,
)
from tests.fixtures.receiver import Reply, receiving
from tests.fixtures.server import serving

pytestmark = pytest.mark.slow


def test_a_secret_is_nowhere_to_be_read(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
        receiver.replies.append(Reply(400))
        end(server, server.create_run())
        ended(server, webhook_id)
        answers = [get(server, webhook_id), server.get("webhooks"), deliveries(server, webhook_id)]
        assert all(SECRET.encode() not in answer.body for answer in answers)
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"mlflow.db", "mlflow.db-wal", "server.log"}
        assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []


def test_the_key_is_for_the_server_alone(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server:
        create(server, secret=SECRET)
    key = tmp_path / "mlflow.db.webhook-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(key.read_bytes())) == 32


def test_a_server_without_secrets_has_no_key(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server:
        create(server)
    assert not (tmp_path / "mlflow.db.webhook-key").exists()


def test_signing_goes_on_after_a_restart(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, secret=SECRET)["webhook_id"]
        server.stop()
        server.start()
        assert result(call_test(server, webhook_id))["success"] is True
        (arrived,) = receiver.arrived
        assert arrived.headers["x-mlflow-signature"] == signed(arrived, SECRET)


def test_with_another_key_nothing_is_sent_unsigned(tmp_path: Path, database: str):
    first = serving(tmp_path, database=database, environ=with_key(0))
    with first as server, receiving() as receiver:
        webhook_id = create(server, receiver.url, events=[FINISHED], secret=SECRET)["webhook_id"]
        server.stop()
        server.environ = with_key(1)
        server.start()
        end(server, server.create_run())
        (delivery,) = ended(server, webhook_id)
        assert (delivery["status"], delivery["attempts"]) == ("FAILED", 1)
        assert "encrypted with another key" in delivery["error_message"]
        assert receiver.arrived == []
        accepted(patch(server, webhook_id, secret="new"))
        assert result(call_test(server, webhook_id))["success"] is True
    assert not (tmp_path / "mlflow.db.webhook-key").exists()


@pytest.mark.parametrize("content", [b"", b"no key\n"])
def test_a_broken_key_file_is_a_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "mlflow.db.webhook-key").write_bytes(content)
    with serving(tmp_path, environ=OPEN) as server:
        message = {
            "name": "hook",
            "url": "http://example.com",
            "events": [CREATED],
            "secret": SECRET,
        }
        answer = refused(server.post("webhooks", message), 500, "INTERNAL_ERROR")
        assert "cannot be used" in answer
        create(server)
