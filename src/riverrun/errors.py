"""What can go wrong, in the protocol's words; the statuses are in `wire/errors.py`."""

from typing import ClassVar


class TrackingError(Exception):
    """An answer to the client: `code` is MLflow's error code, the message is for a person.

    The message says what was wrong, what was expected and what was given, and never carries a
    driver's text, a path of the server or a secret.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InternalError(TrackingError):
    """Our own fault: stored data that cannot be read, an invariant that does not hold."""


class InvalidParameterValue(TrackingError):
    code = "INVALID_PARAMETER_VALUE"


class BadRequest(TrackingError):
    code = "BAD_REQUEST"


class InvalidState(TrackingError):
    """The resource exists, but its state forbids the call."""

    code = "INVALID_STATE"


class ResourceDoesNotExist(TrackingError):
    code = "RESOURCE_DOES_NOT_EXIST"


class NoSuchResource(ResourceDoesNotExist):
    """Something that is granted, an experiment, a run or a model, is not there. Only those who may
    see everything are told so: to others it is as if they were denied.
    """


class ResourceAlreadyExists(TrackingError):
    code = "RESOURCE_ALREADY_EXISTS"


class PermissionDenied(TrackingError):
    code = "PERMISSION_DENIED"


class Unauthenticated(TrackingError):
    """Nobody is known by these credentials, or none were given."""

    code = "UNAUTHENTICATED"


class TooManyRequests(TrackingError):
    """Nothing was done; the same call may come again after `retry_after_s` seconds."""

    code = "REQUEST_LIMIT_EXCEEDED"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestTooLarge(TrackingError):
    """The body is over a limit; sending it again will not help."""

    code = "INVALID_PARAMETER_VALUE"


class TemporarilyUnavailable(TrackingError):
    """Nothing was changed; the same call may come again after `retry_after_s` seconds."""

    code = "TEMPORARILY_UNAVAILABLE"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotImplementedHere(TrackingError):
    """The protocol has the call, this server or its store cannot do it."""

    code = "NOT_IMPLEMENTED"


class FeatureDisabled(TrackingError):
    code = "FEATURE_DISABLED"
