"""API tokens, service accounts and the audit log."""

from typing import ClassVar

import msgspec

from riverrun.entities.tokens import ApiToken, AuditEntry, ServiceAccount
from riverrun.wire.message import Int32, Int64, Message


class CreateToken(Message, frozen=True):
    """Without a `username`, for who asks; without scopes, to read and write; without
    `expires_in_s`, it stays until it is revoked.
    """

    required: ClassVar = ("name",)
    name: str | None = None
    scopes: list[str] | None = None
    expires_in_s: Int64 | None = None
    username: str | None = None


class CreateTokenResponse(msgspec.Struct, frozen=True):
    """`token` is shown now, and never again."""

    token: str
    info: ApiToken


class ListTokens(Message, frozen=True):
    username: str | None = None


class ListTokensResponse(msgspec.Struct, frozen=True):
    tokens: list[ApiToken]


class RevokeToken(Message, frozen=True):
    token_id: str = ""


class CreateServiceAccount(Message, frozen=True):
    required: ClassVar = ("name",)
    name: str | None = None


class ServiceAccountResponse(msgspec.Struct, frozen=True):
    service_account: ServiceAccount


class ListServiceAccountsResponse(msgspec.Struct, frozen=True):
    service_accounts: list[ServiceAccount]


class DeleteServiceAccount(Message, frozen=True):
    name: str = ""


class GetAudit(Message, frozen=True):
    """Filters are exact; times are milliseconds, `since` inclusive and `until` exclusive. The
    format jsonl has all entries, one on each line, instead of a page.
    """

    actor: str | None = None
    action: str | None = None
    resource_type: str | None = None
    resource: str | None = None
    since: Int64 | None = None
    until: Int64 | None = None
    max_results: Int32 | None = None
    page_token: str | None = None
    format: str | None = None


class GetAuditResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest first."""

    entries: list[AuditEntry]
    next_page_token: str | None = None
