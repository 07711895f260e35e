"""The JSON rules of the protocol, in one place (docs/protocol.md, "JSON").

A request takes the fast path first: one strict decoder per message. What it stumbles over (an
unknown field, camelCase, a bare NaN, an enum by number, JSON inside a JSON string) goes through the
tolerant path, which knows all of it and explains what is left as an error.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar, cast, get_args
from urllib.parse import parse_qsl

import msgspec

from riverrun.errors import InvalidParameterValue
from riverrun.wire.message import Message, RunReference

QUERY_FIELDS_MAX = 2_000
"""Fields in one query string; the longest honest list is 100 run ids."""
VALUE_SHOWN_MAX = 200
"""Characters of a refused value that the error repeats."""
SECRETS = frozenset({"password", "current_password", "secret", "token"})
"""Fields, and the part of a path that ends in them, whose values no error repeats."""
API_DOCS = "See the API docs for more information about request parameters."

_encode_json = msgspec.json.Encoder().encode

MessageT = TypeVar("MessageT", bound=Message)


def encode(answer: object) -> bytes:
    """Compact JSON of an entity or answer."""
    return _encode_json(answer)


def encode_page(name: bytes, documents: Sequence[bytes], next_page_token: str | None) -> bytes:
    """A page of what is JSON already; what is empty is left out."""
    parts = [b'"%b":[%b]' % (name, b",".join(documents))] if documents else []
    if next_page_token is not None:
        parts.append(b'"next_page_token":%b' % encode(next_page_token))
    return b"{%b}" % b",".join(parts)


class Reader(Generic[MessageT]):
    """Reads one kind of message from a body or a query string; every failure is a 400 that names
    the field.
    """

    def __init__(self, message: type[MessageT]) -> None:
        self._message = message
        self._decode = msgspec.json.Decoder(message, strict=False).decode

    def body(self, raw: bytes) -> MessageT:
        """An empty body is a message without fields."""
        try:
            # A NUL can only be written as an escape; no backslash, no NUL.
            if b"\\" in raw and b"\\u0000" in raw:
                return self._checked(self._tolerant(_parse(raw)))
            return self._checked(self._decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._checked(self._tolerant(_parse(raw)))

    def query(self, raw: bytes) -> MessageT:
        """Lists are repeated parameters, else the first one counts; names are snake_case only."""
        return self._checked(self._tolerant(_query_fields(raw, self._message)))

    def _tolerant(self, given: dict[str, Any]) -> MessageT:
        _refuse_unstorable(given)
        fields = _known(given, self._message)
        try:
            return msgspec.convert(fields, self._message, strict=False)
        except msgspec.ValidationError as error:
            raise _explained(error, fields) from None

    def _checked(self, message: MessageT) -> MessageT:
        for name in message.required:
            value = getattr(message, name)
            if value is None or value == "":
                if name == "run_id" and isinstance(message, RunReference) and message.run_uuid:
                    continue
                raise missing(name)
        return message


def with_path(message: MessageT, values: Mapping[str, str]) -> MessageT:
    """The message with what the request's path says, which is decoded already."""
    _refuse_unstorable(dict(values))
    return msgspec.structs.replace(message, **values)


def missing(name: str) -> InvalidParameterValue:
    """The protocol's words for a required parameter that is absent or empty."""
    return InvalidParameterValue(f"Missing value for required parameter '{name}'. {API_DOCS}")


def _parse(raw: bytes) -> dict[str, Any]:
    """Any JSON that Python reads, bare NaN and Infinity included; very old clients encode twice."""
    try:
        given = json.loads(raw.decode() or "{}", parse_float=_number)
        if isinstance(given, str):
            given = json.loads(given, parse_float=_number)
    except UnicodeDecodeError:
        raise InvalidParameterValue("Invalid request body: it is not valid UTF-8.") from None
    except RecursionError:
        raise InvalidParameterValue("Invalid request body: it is nested too deeply.") from None
    except ValueError as error:
        reason = (
            f"{error.msg} at byte {error.pos}"
            if isinstance(error, json.JSONDecodeError)
            else "a number is too long"
        )
        raise InvalidParameterValue(
            f"Invalid request body: it is not valid JSON ({reason})."
        ) from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise InvalidParameterValue(
            f"Invalid request body: expected a JSON object, got {_type_name(given)}."
        )
    return given  # pyright: ignore[reportUnknownVariableType]


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidParameterValue(
            f"Invalid number {text[:VALUE_SHOWN_MAX]}: it is beyond a double."
        )
    return number


def _query_fields(raw: bytes, message: type[Message]) -> dict[str, Any]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_FIELDS_MAX,
        )
    except UnicodeDecodeError:
        raise InvalidParameterValue("Invalid query string: it is not valid UTF-8.") from None
    except ValueError:
        raise InvalidParameterValue(
            f"Invalid query string: it has more than {QUERY_FIELDS_MAX} fields."
        ) from None
    lists = {name for name, shape in _shape(message).items() if shape.is_list}
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            fields.setdefault(name, []).append(value)
        else:
            fields.setdefault(name, value)
    return fields


def _refuse_unstorable(value: Any, depth: int = 0, name: str = "") -> None:
    """NUL is refused by PostgreSQL, lone surrogates by UTF-8: refuse both for every store alike."""
    if depth > 100:
        raise InvalidParameterValue("Invalid request body: it is nested too deeply.")
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidParameterValue(
                f"Invalid text {_shown(value, name)}: it contains a NUL character."
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidParameterValue(
                f"Invalid text {_shown(value, name)}: it contains a lone surrogate, "
                "which is no character."
            ) from None
    elif isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            _refuse_unstorable(key, depth + 1)
            _refuse_unstorable(item, depth + 1, str(key))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            _refuse_unstorable(item, depth + 1, name)


class _Field(msgspec.Struct, frozen=True):
    """What the tolerant path must know of one field."""

    camel: str
    is_list: bool
    part: type[msgspec.Struct] | None
    enum: type[StrEnum] | None


@cache
def _shape(message: type[msgspec.Struct]) -> dict[str, _Field]:
    shape: dict[str, _Field] = {}
    for field in msgspec.structs.fields(message):
        leaves = list(_leaves(field.type))
        shape[field.name] = _Field(
            camel=re.sub(r"_([a-z])", lambda match: match[1].upper(), field.name),
            is_list=any(getattr(kind, "__origin__", None) is list for kind in _members(field.type)),
            part=next((leaf for leaf in leaves if issubclass(leaf, msgspec.Struct)), None),
            enum=next((leaf for leaf in leaves if issubclass(leaf, StrEnum)), None),
        )
    return shape


def _members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    is_union = getattr(kind, "__origin__", None) is None and get_args(kind)
    return get_args(kind) if is_union else (kind,)


def _leaves(kind: Any) -> list[type]:
    arguments = get_args(kind)
    if not arguments:
        return [kind] if isinstance(kind, type) else []
    return [leaf for argument in arguments for leaf in _leaves(argument)]


def _known(given: dict[str, Any], message: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that the message has: camelCase renamed, enums named, unknown ones and nulls left
    out.

    A required field counts only under its snake_case name, as upstream has it.
    """
    required = getattr(message, "required", ())
    fields: dict[str, Any] = {}
    for name, field in _shape(message).items():
        if field.camel != name and field.camel in given:
            if name in given:
                raise InvalidParameterValue(
                    f"Request specifies both '{name}' and '{field.camel}'; "
                    "provide only one of them."
                )
            if name not in required:
                given = {**given, name: given[field.camel]}
        if given.get(name) is not None:
            fields[name] = _known_value(given[name], field)
    return fields


def _known_value(value: Any, field: _Field) -> Any:
    if field.is_list and isinstance(value, list):
        return [_known_value(item, _item_of(field)) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if field.part is not None and isinstance(value, dict):
        return _known(value, field.part)  # pyright: ignore[reportUnknownArgumentType]
    if field.enum is not None:
        return _enum_name(value, field.enum)
    return value


def _item_of(field: _Field) -> _Field:
    return _Field(camel=field.camel, is_list=False, part=field.part, enum=field.enum)


def _enum_name(value: Any, enum: type[StrEnum]) -> Any:
    """Enums are given by name or by number; ours list their members in the protocol's order, from
    1.
    """
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    names = list(enum)
    if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(names):
        return names[number - 1]
    return value


def _explained(error: msgspec.ValidationError, fields: dict[str, Any]) -> InvalidParameterValue:
    """The validator's sentence, in the protocol's words and with the value that was given."""
    reason, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    absent = re.search(r"missing required field `(\w+)`", reason)
    if absent:
        return missing(f"{path}.{absent[1]}".lstrip("."))
    value = _value_at(fields, path)
    if value is None:
        return missing(path)
    return InvalidParameterValue(
        f"Invalid value {_shown(value, path)} for parameter '{path}' supplied: "
        f"{_expectation(reason)}. Hint: Value was of type '{type(value).__name__}'. {API_DOCS}"
    )


def _expectation(reason: str) -> str:
    words = {
        "`int | null`": "an integer",
        "`int`": "an integer",
        "`float | null`": "a number",
        "`float`": "a number",
        "`str | null`": "a string",
        "`str`": "a string",
        "`array | null`": "a list",
        "`array`": "a list",
        "`object`": "an object",
    }
    expected = re.match(r"Expected (`[^`]+`)", reason)
    if expected and expected[1] in words:
        bound = re.search(r"([<>]=) (-?\d+)", reason)
        within = " of 32 bits" if bound and abs(int(bound[2])) < 2**32 else " of 64 bits"
        return f"expected {words[expected[1]]}{within if bound else ''}"
    if reason.startswith("Invalid enum value"):
        return "it is none of the names that the enum has"
    return reason[:1].lower() + reason[1:]


def _value_at(given: Any, path: str) -> Any:
    for step in re.findall(r"\w+", path):
        if isinstance(given, list):
            given = cast("list[Any]", given)[int(step)]
        elif isinstance(given, dict):
            given = cast("dict[str, Any]", given).get(step)
    return given


def _shown(value: Any, name: str = "") -> str:
    if re.sub(r"([A-Z])", r"_\1", name).lower().rpartition(".")[2] in SECRETS:
        return "(not shown)"
    text = json.dumps(value, default=str)
    return text if len(text) <= VALUE_SHOWN_MAX else text[:VALUE_SHOWN_MAX] + "…"


def _type_name(value: Any) -> str:
    names = {list: "a list", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "something else")  # pyright: ignore[reportUnknownArgumentType]
