import pytest
from tests.fixtures.environments import CLIENTS, Environment, find_environment


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Environment:
    """Each release in turn; a test that needs some of them parametrizes `client` indirectly."""
    return find_environment(request.param)
