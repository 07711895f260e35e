"""Pages that are no API are guarded by the action that they are listed with."""

import asyncio
from pathlib import Path

import pytest
from tests.fixtures.people import add_person, asking
from tests.services.doors import recorded
from tests.store.engines import opened

from riverrun.api.routes import routes
from riverrun.asgi.app import Application, Lifecycle, Page
from riverrun.auth.levels import Action, Level, public
from riverrun.plain import Plain
from riverrun.settings import Settings
from riverrun.wiring import Server

METRICS = Page(Plain(200, "up 1"), Action(Level.READ, "metrics"))
PAGES = {"/metrics": METRICS, "/public": Page(Plain(200, "hello"), public())}
PASSWORD = "correct horse battery"
EXPECTED = {"metrics": 200, "admin": 200, "read": 403, "write": 403}
"""The status of /metrics by the scope of a token."""


@pytest.mark.parametrize("prefix", ["", "/p"])
def test_a_page_of_metrics_wants_a_token_for_them(prefix: str, tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"

    async def story() -> None:
        async with opened(uri) as engine:
            tokens = {
                scope: (await add_person(engine, scope, scopes=(scope,))).token
                for scope in EXPECTED
            }
        server = Server(Settings(backend_store_uri=uri, auth=True, admin_password=PASSWORD))
        app = Application(
            routes(),
            Lifecycle(server.start, server.stop),
            pages=PAGES,
            prefix=prefix,
            request_bytes_max=1_000,
        )
        async with asking(app, prefix=prefix) as asker:
            for scope, status in EXPECTED.items():
                reply = await asker.ask("GET", "/metrics", token=tokens[scope])
                assert (reply.status, b"up" in reply.body) == (status, status == 200), scope
                head = await asker.ask("HEAD", "/metrics", token=tokens[scope])
                assert (head.status, b"up" in head.body) == (status, False)
            for token in (None, "nonsense"):
                reply = await asker.ask("GET", "/metrics", token=token)
                assert reply.status == 401
                assert reply.headers["www-authenticate"] == 'Basic realm="mlflow"'
            assert (await asker.ask("GET", "/public", token=None)).status == 200
            other = await asker.ask(
                "GET",
                "/api/2.0/mlflow/experiments/get",
                token=tokens["metrics"],
                query={"experiment_id": "0"},
            )
            assert other.status == 403
        async with opened(uri) as engine:
            denials = [each for each in await recorded(engine) if each[0] == "access"]
        assert [what for _, _, what in denials] == [
            "READ: Permission denied: the token's scopes are read.",
            "READ: Permission denied: the token's scopes are read.",
            "READ: Permission denied: the token's scopes are write.",
            "READ: Permission denied: the token's scopes are write.",
            "READ: Permission denied: the token's scopes are metrics.",
        ]

    asyncio.run(story())
