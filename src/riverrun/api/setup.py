"""The first admin, made by whoever has the set-up link."""

from riverrun.api.call import Call
from riverrun.errors import PermissionDenied
from riverrun.services.access.setup_link import FirstAdmin
from riverrun.wire.messages.setup import FinishSetup, SetupFinished


async def finish_setup(call: Call, message: FinishSetup) -> SetupFinished:
    setup = call.services.setup
    if setup is None:
        raise PermissionDenied("Permission denied: this server has no access control to set up.")
    first = FirstAdmin(message.token or "", message.username or "", message.password or "")
    return SetupFinished(await setup.finish(first, viewer=call.viewer))
