"""What is taken away counts on every server and worker within a second."""

import base64
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.api.accounts import PASSWORD, Account, guarded
from tests.api.protocol import accepted
from tests.cli.test_workers import wait_for
from tests.fixtures.server import Server

if TYPE_CHECKING:
    from tests.fixtures.databases import MariadbServer, PostgresServer

pytestmark = pytest.mark.slow

OWN = "/api/riverrun/v1/"
ANOTHER = "another good password"
WITHIN_S = 1
SETTLED_S = 0.3
"""How long all have to refuse before nobody is believed to let in any more."""
RUN = "/api/2.0/mlflow/experiments/get?experiment_id=0"


@pytest.fixture(params=["postgres_server", "mariadb_server"])
def url(request: pytest.FixtureRequest) -> str:
    server: PostgresServer | MariadbServer = request.getfixturevalue(request.param)
    return server.new_database()


@contextmanager
def two_servers(folder: Path, url: str) -> Generator[tuple[Account, list[Server]]]:
    with ExitStack() as stack:
        admins: list[Account] = []
        for name in ("first", "second"):
            (folder / name).mkdir()
            admins.append(stack.enter_context(guarded(folder / name, database=url)))
        yield admins[0], [each.server for each in admins]


@contextmanager
def two_workers(folder: Path, url: str) -> Generator[tuple[Account, list[Server]]]:
    with guarded(folder, "--workers", "2", database=url) as admin:
        wait_for(admin.server, 2)
        yield admin, [admin.server]


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def lets_in(server: Server, authorization: str) -> bool:
    answer = server.request("GET", RUN, headers={"Authorization": authorization})
    assert answer.status in {200, 401, 429}, answer.body
    return answer.status == 200


def seconds_until_refused(servers: list[Server], authorization: str) -> float:
    """How long after now somebody was let in for the last time."""
    started = last = time.monotonic()
    while (now := time.monotonic()) - last < SETTLED_S:
        let_in = [lets_in(server, authorization) for server in servers]
        if any(let_in):
            last = now
            assert last - started < WITHIN_S
    return last - started


def warm(servers: list[Server], authorization: str) -> None:
    """Every worker has seen it: connections are dealt out at random."""
    assert all(lets_in(server, authorization) for _ in range(20) for server in servers)


@pytest.mark.parametrize("together", [two_servers, two_workers])
def test_a_changed_password_and_a_revoked_token_count_everywhere_within_a_second(
    together: Callable[[Path, str], AbstractContextManager[tuple[Account, list[Server]]]],
    tmp_path: Path,
    url: str,
):
    with together(tmp_path, url) as (admin, servers):
        user = admin.new_user("ada")
        made = accepted(user.post("tokens", {"name": "ci"}, api=OWN))
        bearer = f"Bearer {made['token']}"
        warm(servers, bearer)
        accepted(user.delete(f"tokens/{made['info']['token_id']}", {}, api=OWN))
        took = [seconds_until_refused(servers, bearer)]
        login = basic("ada", PASSWORD)
        warm(servers, login)
        message = {"username": "ada", "password": ANOTHER}
        accepted(admin.patch("users/update-password", message))
        took.append(seconds_until_refused(servers, login))
        sys.stdout.write(f"let in for {took[0]:.2f} s and {took[1]:.2f} s more\n")
        assert max(took) < WITHIN_S
        assert lets_in(servers[-1], basic("ada", ANOTHER))
