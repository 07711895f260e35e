"""Text to tokens, and errors that point into the text."""

import re
from dataclasses import dataclass
from enum import StrEnum

from riverrun.errors import InvalidParameterValue
from riverrun.search.limits import MAX_TOKENS

_SHOWN_BEFORE = 60
_SHOWN_AFTER = 40

# As SQL's lexers read quotes: a doubled or escaped one does not end the text, and both are kept.
_SINGLE = r"'(?:''|\\'|[^'])*'"
_DOUBLE = r'"(?:""|\\"|[^"])*"'
_BACK = r"`(?:``|[^`])*`"
_PLAIN = r"\w+(?:[./:-]\w+)*"

_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<entity>[^\W\d]\w*|`[^`.]*`)\.(?P<key>{_BACK}|{_DOUBLE}|{_SINGLE}|{_PLAIN})
    | (?P<name>[^\W\d]\w*|{_BACK})
    | (?P<string>{_SINGLE}|{_DOUBLE})
    | (?P<operator>[<>=!]+)
    | (?P<punctuation>[(),])
    """,
    re.VERBOSE,
)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Kind(StrEnum):
    NAME = "name"
    NUMBER = "number"
    STRING = "string"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """`entity` and `quoted` are a name's: quoted names are never keywords."""

    kind: Kind
    text: str
    position: int
    entity: str = ""
    quoted: bool = False

    @property
    def keyword(self) -> str:
        """The name in upper case where it may be a keyword, otherwise empty."""
        plain = self.kind is Kind.NAME and not self.quoted and not self.entity
        return self.text.upper() if plain else ""


@dataclass(frozen=True, slots=True)
class Source:
    """The text under examination and what it is called."""

    what: str
    text: str

    def error(self, position: int, reason: str) -> InvalidParameterValue:
        """Show at most 100 characters of the text, on one line, with a caret under `position`."""
        start = max(0, position - _SHOWN_BEFORE)
        end = position + _SHOWN_AFTER
        shown = "".join(c if c.isprintable() else " " for c in self.text[start:end])
        before = "…" if start else ""
        after = "…" if end < len(self.text) else ""
        caret = " " * (len(before) + position - start) + "^"
        return InvalidParameterValue(
            f"Invalid {self.what}: {reason}\n  {before}{shown}{after}\n  {caret}"
        )


def scan(source: Source) -> tuple[Token, ...]:
    """Tokens in order, the last of kind END. Raises InvalidParameterValue where none begins."""
    if unstorable := _UNSTORABLE.search(source.text):
        raise source.error(unstorable.start(), "NUL and lone surrogates are not text")
    tokens: list[Token] = []
    position = 0
    while position < len(source.text):
        match = _TOKEN.match(source.text, position)
        if match is None:
            raise source.error(position, _unreadable(source.text[position]))
        if match.lastgroup != "space":
            tokens.append(_token(match))
            if len(tokens) > MAX_TOKENS:
                raise source.error(position, f"more than {MAX_TOKENS} words and signs")
        position = match.end()
    return (*tokens, Token(Kind.END, "", len(source.text)))


def _token(match: re.Match[str]) -> Token:
    group, text, position = match.lastgroup, match.group(), match.start()
    if group == "key":
        key = match["key"]
        return Token(Kind.NAME, _unquoted(key), position, _unquoted(match["entity"]), quoted=True)
    if group == "name":
        return Token(Kind.NAME, _unquoted(text), position, quoted=text[0] == "`")
    if group == "string":
        return Token(Kind.STRING, text[1:-1], position, quoted=text[0] == '"')
    return Token(Kind(str(group)), text, position)


def _unquoted(text: str) -> str:
    return text[1:-1] if text[0] in "`'\"" else text


def _unreadable(character: str) -> str:
    if character in "'\"`":
        return f"this {character} has no end"
    if character == ".":
        return "expected a key after the dot; unusual characters need quotes, as in tags.`a b`"
    if character in "+-0123456789":
        return "this is not a decimal number"
    return f"unexpected {character!r}"
