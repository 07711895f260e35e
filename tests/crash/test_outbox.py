"""The server is killed between a commit and its delivery: the message arrives all the same."""

import time
from pathlib import Path

import pytest
from tests.api.protocol import accepted
from tests.fixtures.receiver import Reply, receiving
from tests.fixtures.server import Server, free_port, serving

pytestmark = pytest.mark.slow

OPEN = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "1",
}


def listen(server: Server, url: str) -> str:
    event = {"entity": "RUN", "action": "FINISHED"}
    message = {"name": "hook", "url": url, "events": [event], "secret": "s"}
    return accepted(server.post("webhooks", message))["webhook"]["webhook_id"]


def finish_run(server: Server) -> str:
    run = server.create_run()
    accepted(server.post("runs/update", {"run_id": run, "status": "FINISHED"}))
    return run


def test_what_was_not_delivered_before_a_kill_is_after_it(tmp_path: Path):
    port = free_port()
    with serving(tmp_path, environ=OPEN) as server:
        listen(server, f"http://127.0.0.1:{port}/")  # Nobody is there yet.
        runs = {finish_run(server) for _ in range(3)}
        server.kill()
        with receiving(port) as receiver:
            server.start()
            told = receiver.wait(3, timeout_s=30)
            assert {each.json["data"]["run_id"] for each in told} == runs


def test_an_attempt_that_a_kill_cut_off_is_made_again(tmp_path: Path):
    """The receiver may have taken it: it comes again with the same id."""
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = listen(server, receiver.url)
        receiver.replies.append(Reply(after_s=5))
        run = finish_run(server)
        receiver.wait()
        server.kill()
        server.start()
        first, second = receiver.wait(2, timeout_s=30)
        assert first.body == second.body
        assert second.json["data"]["run_id"] == run
        ids = [each.headers["x-mlflow-delivery-id"] for each in (first, second)]
        assert ids[0] == ids[1]
        time.sleep(0.2)
        history = f"/api/riverrun/v1/webhooks/{webhook_id}/deliveries"
        (delivery,) = server.request("GET", history).json["deliveries"]
        assert (delivery["status"], delivery["delivery_id"]) == ("DELIVERED", ids[0])


def test_a_stop_lets_attempts_under_way_end(tmp_path: Path):
    with serving(tmp_path, environ=OPEN) as server, receiving() as receiver:
        webhook_id = listen(server, receiver.url)
        receiver.replies.append(Reply(after_s=0.5))
        finish_run(server)
        receiver.wait()
        assert server.stop() == 0
        server.start()
        history = f"/api/riverrun/v1/webhooks/{webhook_id}/deliveries"
        (delivery,) = server.request("GET", history).json["deliveries"]
        assert delivery["status"] == "DELIVERED"
        assert len(receiver.arrived) == 1
