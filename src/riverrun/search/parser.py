"""Tokens to a tree of clauses; one function per rule of the grammar, which is its docstring."""
# ruff: noqa: D210, D400, D403 - Grammar is no sentence.

from collections.abc import Callable

from riverrun.errors import InvalidParameterValue
from riverrun.search.limits import MAX_CLAUSES, MAX_DEPTH, MAX_VALUES
from riverrun.search.nodes import And, Clause, Literal, Name, Not, Or, Tree
from riverrun.search.tokens import Kind, Source, Token, scan

_FUNCTIONS = ("MIN", "MAX")


class Reader:
    """The place in the tokens, and what has been counted on the way there."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = scan(source)
        self.index = 0
        self.depth = 0
        self.clauses = 0
        self.values = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def take(self) -> Token:
        token = self.token
        self.index += token.kind is not Kind.END
        return token

    def take_keyword(self, *keywords: str) -> str:
        """The next token in upper case if it is one of these; otherwise empty, and it stays."""
        return self.take().text.upper() if self.token.keyword in keywords else ""

    def take_mark(self, mark: str) -> bool:
        found = self.token.kind is Kind.PUNCTUATION and self.token.text == mark
        self.index += found
        return found

    def expect_keyword(self, keyword: str) -> None:
        if not self.take_keyword(keyword):
            raise self.error(f"expected {keyword}")

    def expect_mark(self, mark: str) -> None:
        if not self.take_mark(mark):
            raise self.error(f"expected {mark}")

    def expect_end(self, others: str) -> None:
        if self.token.kind is not Kind.END:
            raise self.error(f"expected {others} or the end")

    def error(self, reason: str) -> InvalidParameterValue:
        return self.source.error(self.token.position, reason)


def parse(source: Source) -> Tree[Clause] | None:
    """filter = [ disjunction ]; nothing but blanks is no filter"""
    reader = Reader(source)
    if len(reader.tokens) == 1:
        return None
    tree = disjunction(reader)
    reader.expect_end("AND, OR")
    return tree


def parse_order(source: Source) -> tuple[Name, bool]:
    """order = field [ ASC | DESC ]; True means ascending"""
    reader = Reader(source)
    name = field(reader)
    direction = reader.take_keyword("ASC", "DESC")
    reader.expect_end("ASC, DESC")
    return name, direction != "DESC"


def disjunction(reader: Reader) -> Tree[Clause]:
    """disjunction = conjunction { OR conjunction }"""
    items = [conjunction(reader)]
    while reader.take_keyword("OR"):
        items.append(conjunction(reader))
    return items[0] if len(items) == 1 else Or(tuple(items))


def conjunction(reader: Reader) -> Tree[Clause]:
    """conjunction = { AND } negation { { AND } negation } { AND }

    MLflow reads clauses side by side as joined by AND, and a spare AND as nothing.
    """
    items: list[Tree[Clause]] = []
    while True:
        while reader.take_keyword("AND"):
            pass
        if items and not _begins_negation(reader.token):
            break
        items.append(negation(reader))
    return items[0] if len(items) == 1 else And(tuple(items))


def _begins_negation(token: Token) -> bool:
    if token.kind is Kind.PUNCTUATION:
        return token.text == "("
    return _begins_field(token) and token.keyword != "OR"


def _begins_field(token: Token) -> bool:
    return token.kind is Kind.NAME or (token.kind is Kind.STRING and token.quoted)


def negation(reader: Reader) -> Tree[Clause]:
    """negation = NOT negation | "(" disjunction ")" | clause"""
    if reader.take_keyword("NOT"):
        return Not(_deeper(reader, negation))
    if reader.take_mark("("):
        tree = _deeper(reader, disjunction)
        reader.expect_mark(")")
        return tree
    return clause(reader)


def _deeper(reader: Reader, rule: Callable[[Reader], Tree[Clause]]) -> Tree[Clause]:
    reader.depth += 1
    if reader.depth > MAX_DEPTH:
        raise reader.error(f"nested more than {MAX_DEPTH} deep")
    tree = rule(reader)
    reader.depth -= 1
    return tree


def clause(reader: Reader) -> Tree[Clause]:
    """clause = field ( operator value | LIKE value | ILIKE value | BETWEEN value AND value

    | [ NOT ] IN values | IS [ NOT ] NULL )
    """
    reader.clauses += 1
    if reader.clauses > MAX_CLAUSES:
        raise reader.error(f"more than {MAX_CLAUSES} clauses")
    name = field(reader)
    position = reader.token.position
    if reader.token.kind is Kind.OPERATOR:
        return Clause(name, reader.take().text, (value(reader),), position)
    match reader.take_keyword("LIKE", "ILIKE", "BETWEEN", "NOT", "IN", "IS"):
        case "LIKE" | "ILIKE" as pattern:
            return Clause(name, pattern, (value(reader),), position)
        case "BETWEEN":
            return Clause(name, "BETWEEN", _ends(reader), position)
        case "IN":
            return Clause(name, "IN", values(reader), position)
        case "NOT":
            reader.expect_keyword("IN")
            return Clause(name, "NOT IN", values(reader), position)
        case "IS":
            return _null(reader, name, position)
        case _:
            raise reader.error("expected an operator such as =, LIKE, IN, BETWEEN or IS NULL")


def _ends(reader: Reader) -> tuple[Literal, Literal]:
    low = value(reader)
    reader.expect_keyword("AND")
    return low, value(reader)


def _null(reader: Reader, name: Name, position: int) -> Tree[Clause]:
    negated = reader.take_keyword("NOT")
    reader.expect_keyword("NULL")
    missing = Clause(name, "IS NULL", (), position)
    return Not(missing) if negated else missing


def field(reader: Reader) -> Name:
    """field = name | ( MIN | MAX ) "(" name ")" """
    position = reader.token.position
    opening = reader.tokens[min(reader.index + 1, len(reader.tokens) - 1)].text
    if reader.token.keyword not in _FUNCTIONS or opening != "(":
        return _name(reader, "", position)
    function = reader.take().text.lower()
    reader.expect_mark("(")
    name = _name(reader, function, position)
    reader.expect_mark(")")
    return name


def _name(reader: Reader, function: str, position: int) -> Name:
    if not _begins_field(reader.token):
        raise reader.error("expected a field such as metrics.acc, params.lr, tags.env or status")
    token = reader.take()
    return Name(token.entity, token.text, function, position)


def values(reader: Reader) -> tuple[Literal, ...]:
    """values = "(" value { "," value } [ "," ] ")" """
    reader.expect_mark("(")
    items = [_counted(reader)]
    while reader.take_mark(",") and reader.token.text != ")":
        items.append(_counted(reader))
    reader.expect_mark(")")
    return tuple(items)


def _counted(reader: Reader) -> Literal:
    reader.values += 1
    if reader.values > MAX_VALUES:
        raise reader.error(f"more than {MAX_VALUES} values in lists")
    return value(reader)


def value(reader: Reader) -> Literal:
    """value = number | string"""
    token = reader.token
    if token.kind not in {Kind.NUMBER, Kind.STRING}:
        raise reader.error("expected a number or a text in single or double quotes")
    reader.take()
    return Literal(token.text, token.kind is Kind.NUMBER, token.position)
