"""API tokens, and the accounts that have nothing else to log in with."""

import msgspec


class ApiToken(msgspec.Struct, frozen=True, gc=False):
    """`hint` is how it ends; times are milliseconds; without an `expiry_time` it stays."""

    token_id: int
    username: str
    name: str
    hint: str
    scopes: list[str]
    creation_time: int
    expiry_time: int | None
    last_used_time: int | None


class ServiceAccount(msgspec.Struct, frozen=True, gc=False):
    id: int
    name: str
    creation_time: int
    created_by: str


class AuditEntry(msgspec.Struct, frozen=True, gc=False):
    """Who did what to what, from where; `time` is milliseconds, `outcome` allowed or denied."""

    id: str
    time: int
    workspace: str
    actor: str
    action: str
    outcome: str
    resource_type: str
    resource: str
    address: str
    request_id: str
    detail: str
