"""API tokens and service accounts."""

from riverrun.api.call import Call
from riverrun.auth.scopes import READ, WRITE
from riverrun.services.access.api_tokens import AskedToken
from riverrun.wire.message import Empty
from riverrun.wire.messages import tokens as m


async def create_token(call: Call, message: m.CreateToken) -> m.CreateTokenResponse:
    asked = AskedToken(
        name=message.name or "",
        scopes=(READ, WRITE) if message.scopes is None else message.scopes,
        expires_in_s=message.expires_in_s,
        username=message.username,
    )
    token, info = await call.access.tokens.create(asked, viewer=call.viewer)
    return m.CreateTokenResponse(token, info)


async def list_tokens(call: Call, message: m.ListTokens) -> m.ListTokensResponse:
    return m.ListTokensResponse(await call.access.tokens.list(message.username, viewer=call.viewer))


async def revoke_token(call: Call, message: m.RevokeToken) -> Empty:
    await call.access.tokens.revoke(message.token_id, viewer=call.viewer)
    return Empty()


async def create_service_account(
    call: Call, message: m.CreateServiceAccount
) -> m.ServiceAccountResponse:
    made = await call.access.service_accounts.create(message.name or "", viewer=call.viewer)
    return m.ServiceAccountResponse(made)


async def list_service_accounts(call: Call, message: Empty) -> m.ListServiceAccountsResponse:
    del message
    found = await call.access.service_accounts.list(viewer=call.viewer)
    return m.ListServiceAccountsResponse(found)


async def delete_service_account(call: Call, message: m.DeleteServiceAccount) -> Empty:
    await call.access.service_accounts.delete(message.name, viewer=call.viewer)
    return Empty()
