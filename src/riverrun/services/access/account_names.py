"""What users and roles may be called, and which passwords are ones; no error repeats a password."""

from riverrun.auth import passwords
from riverrun.errors import InvalidParameterValue
from riverrun.services import limits, names

OWN_ROLE_PREFIX = "__user_"
"""Of roles that hold what is granted to one user (protocol)."""


def check_username(username: str) -> str:
    """A name without colon, since it is sent before one (RFC 7617)."""
    if ":" in username:
        raise InvalidParameterValue(
            f"Invalid user name '{username[:100]}': it must not contain a colon."
        )
    return _check_name(username, limits.USERNAME_LENGTH_MAX, "user name")


def check_role_name(name: str) -> str:
    if name.startswith(OWN_ROLE_PREFIX):
        raise InvalidParameterValue(
            f"Invalid role name '{name[:100]}': names that begin with '{OWN_ROLE_PREFIX}' are "
            "those of the roles that users have for themselves."
        )
    return _check_name(name, limits.ROLE_NAME_LENGTH_MAX, "role name")


def check_description(description: str) -> str:
    return names.check_length(description, limits.ROLE_DESCRIPTION_LENGTH_MAX, "description")


def check_password(password: str, *, username: str) -> None:
    """Raises InvalidParameterValue for one that is short, long, known to all or the user's name."""
    if len(password) < passwords.LENGTH_MIN or password.isspace():
        raise InvalidParameterValue(f"Password must be at least {passwords.LENGTH_MIN} characters.")
    if len(password) > passwords.LENGTH_MAX:
        raise InvalidParameterValue(f"Password must be at most {passwords.LENGTH_MAX} characters.")
    if passwords.is_default(password):
        raise InvalidParameterValue(
            "Password must not be one that everybody knows from a guide: choose another one."
        )
    if password.strip().casefold() == username.casefold():
        raise InvalidParameterValue("Password must differ from the user name.")


def _check_name(name: str, length_max: int, what: str) -> str:
    names.check_length(name, length_max, what)
    if not name or not name.isprintable() or name.strip() != name:
        raise InvalidParameterValue(
            f"Invalid {what} {name[:100]!a}: it must have 1 to {length_max} printable characters, "
            "and no space at either end."
        )
    return name
