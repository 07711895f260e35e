"""Error -> (status, envelope): the only table of statuses.

Clients decide on `error_code`, and retry 408, 429 and 5xx for minutes. So a user's mistake that
upstream answers with 500 keeps its code here and gets a 4xx.
"""

from typing import Final

import msgspec

from riverrun.errors import RequestTooLarge, TrackingError

_STATUSES: Final = {
    "BAD_REQUEST": 400,
    "FEATURE_DISABLED": 400,
    "INTERNAL_ERROR": 500,
    "INVALID_PARAMETER_VALUE": 400,
    "INVALID_STATE": 400,
    "NOT_IMPLEMENTED": 501,
    "PERMISSION_DENIED": 403,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "TEMPORARILY_UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}

_CLASSES: Final = {
    "BAD_REQUEST": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "FEATURE_DISABLED": ("KAM00", "FEATURE_DISABLED"),
    "INTERNAL_ERROR": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "INVALID_PARAMETER_VALUE": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "INVALID_STATE": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "PERMISSION_DENIED": ("KAM00", "PERMISSION_DENIED"),
    "RESOURCE_ALREADY_EXISTS": ("KAM00", "RESOURCE_ALREADY_EXISTS"),
    "RESOURCE_DOES_NOT_EXIST": ("KAM00", "RESOURCE_NOT_FOUND"),
    "TEMPORARILY_UNAVAILABLE": ("XXM00", "CLIENT_INTERNAL_ERROR"),
}


class ErrorEnvelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client reads of a failure."""

    error_code: str
    message: str
    sqlstate: str | None = None
    error_class: str | None = None


def status_of(error: TrackingError) -> int:
    return 413 if isinstance(error, RequestTooLarge) else _STATUSES[error.code]


def codes_by_status() -> dict[int, list[str]]:
    """Every status that an error has, with the codes that share it."""
    found = {413: [RequestTooLarge.code]}
    for code, status in _STATUSES.items():
        found.setdefault(status, []).append(code)
    return dict(sorted(found.items()))


def envelope_of(error: TrackingError) -> ErrorEnvelope:
    sqlstate, error_class = _CLASSES.get(error.code, (None, None))
    return ErrorEnvelope(error.code, error.message, sqlstate, error_class)
