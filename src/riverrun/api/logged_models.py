from riverrun.api.call import Call
from riverrun.wire.message import Empty
from riverrun.wire.messages.logged_models import SearchLoggedModels


async def search_logged_models(call: Call, message: SearchLoggedModels) -> Empty:
    """None yet: none can be created. Clients of 3.x ask before they list a run's artifacts."""
    return Empty()
