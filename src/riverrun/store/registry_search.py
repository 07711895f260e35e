"""One page of registered models, or of model versions: the same statement over other columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import LiteralString

from riverrun.search.fields import (
    MODEL_VERSION_ATTRIBUTES,
    PROMPT_TAG,
    REGISTERED_MODEL_ATTRIBUTES,
    Entity,
    Field,
)
from riverrun.search.nodes import And, Compare, In, IsNull, Node, Not, Or, OrderBy, Test
from riverrun.store.dialects import HEAD_LENGTH, Dialect, Sql
from riverrun.store.engine import Row, Tx
from riverrun.store.filters import TRUE, all_of, column_test, compile_tree, text_test
from riverrun.store.paging import (
    REAL,
    Cursor,
    Place,
    Term,
    after,
    fingerprint,
    order_by,
    read_token,
    write_token,
)

_MODEL_NAME = REGISTERED_MODEL_ATTRIBUTES["name"]
_VERSION_NAME = MODEL_VERSION_ATTRIBUTES["name"]

USUAL_ROWS = 10_000
"""Models of a workspace, or versions of a model, for which the ways of a search are chosen."""
MAX_PROBES = 4
"""Tags that one search counts."""


@dataclass(frozen=True, slots=True)
class RegistryKind:
    """What a search looks through: `by_model` when the filter or the order says which models come
    first, otherwise `source`, behind `tags` when few have a tag that it asks for. SQLite obeys
    the order of a CROSS JOIN. `always` are the terms that end every order; `default` comes before
    them when no order is given.
    """

    source: LiteralString
    by_model: LiteralString
    joined: Sql
    alias: LiteralString
    key: tuple[LiteralString, ...]
    wanted: tuple[LiteralString, ...]
    columns: Mapping[str, LiteralString]
    tags: LiteralString
    is_prompt: LiteralString

    def same(self, one: LiteralString, other: LiteralString) -> LiteralString:
        """Whether rows of two tables belong to one and the same."""
        return " AND ".join([f"{one}.{part} = {other}.{part}" for part in self.key])

    default: tuple[OrderBy, ...]
    always: tuple[OrderBy, ...]


MODELS = RegistryKind(
    source="registered_models AS m",
    by_model="registered_models AS m",
    joined=TRUE,
    alias="m",
    key=("registered_model_id",),
    wanted=("m.registered_model_id", "m.revision"),
    columns={
        "creation_timestamp": "m.creation_timestamp",
        "last_updated_timestamp": "m.last_updated_timestamp",
        "name": "m.name",
    },
    tags="registered_model_tags",
    is_prompt="m.is_prompt",
    default=(),
    always=(OrderBy(_MODEL_NAME, ascending=True),),
)

VERSIONS = RegistryKind(
    source="model_versions AS v CROSS JOIN registered_models AS m",
    by_model="registered_models AS m CROSS JOIN model_versions AS v",
    joined=Sql("v.registered_model_id = m.registered_model_id"),
    alias="v",
    key=("registered_model_id", "version"),
    wanted=("v.registered_model_id", "v.version"),
    columns={
        "creation_timestamp": "v.creation_timestamp",
        "current_stage": "v.stage",
        "last_updated_timestamp": "v.last_updated_timestamp",
        "model_id": "v.logged_model_id",
        "name": "m.name",
        "run_id": "v.source_run_id",
        "source_path": "v.source",
        "version_number": "v.version",
    },
    tags="model_version_tags",
    is_prompt="v.is_prompt",
    default=(OrderBy(MODEL_VERSION_ATTRIBUTES["last_updated_timestamp"], ascending=False),),
    always=(
        OrderBy(_VERSION_NAME, ascending=True),
        OrderBy(MODEL_VERSION_ATTRIBUTES["version_number"], ascending=False),
    ),
)


@dataclass(frozen=True, slots=True)
class RegistryQuery:
    """Prompts are found only when the filter asks for them. `seen` is a condition of the caller's
    own on alias `m`: which models may be seen, if not all.
    """

    kind: RegistryKind
    workspace: str
    filter: Node | None
    order_by: tuple[OrderBy, ...]
    max_results: int
    page_token: str = ""
    seen: Sql | None = None


@dataclass(frozen=True, slots=True)
class RegistryPage:
    """`rows` have what the kind wants; `next_page_token` is None after the last one."""

    rows: list[Row]
    next_page_token: str | None


async def search(tx: Tx, query: RegistryQuery) -> RegistryPage:
    """Raises InvalidParameterValue for a page token that is broken or belongs to another query."""
    orders = _complete(query)
    identity = fingerprint(", ".join(query.kind.key), query.workspace, query.filter, query.order_by)
    cursor = read_token(query.page_token, identity, [order.field.kind for order in orders])
    filters = RegistryFilters(query.kind, tx.dialect, await _rare_tag(tx, query))
    sql = _statement(query, orders, cursor, filters)
    rows = await tx.fetch(sql.text, sql.binds)
    found = rows[: query.max_results]
    width = len(orders)
    token = None
    if len(rows) > query.max_results:
        token = write_token(identity, [(REAL, value) for value in found[-1][-width:]])
    return RegistryPage([row[:-width] for row in found], token)


async def _rare_tag(tx: Tx, query: RegistryQuery) -> "TagTest | None":
    """The tag that the fewest rows have, if those are few."""
    few = _few(query.max_results)
    conjuncts = query.filter.items if isinstance(query.filter, And) else (query.filter,)
    asked = [tag for each in conjuncts if (tag := _asked_tag(each))]
    counts: list[tuple[int, int]] = []
    for index, tag in enumerate(asked[:MAX_PROBES]):
        head = tag.head(tx.dialect)
        rows = await tx.fetch(
            f"SELECT count(*) FROM (SELECT 1 FROM {query.kind.tags} AS t WHERE {head.text} "
            "LIMIT ?) AS found",
            (*head.binds, few + 1),
        )
        counts.extend((count, index) for (count,) in rows if count <= few)
    return asked[min(counts)[1]] if counts else None


def _few(max_results: int) -> int:
    """Rows with a tag that are rather sorted than looked for along the order. Of n rows c have the
    tag: the page ends after about max_results * n / c of them, which is c where it is the root of
    max_results * n.
    """
    return isqrt(max_results * USUAL_ROWS)


@dataclass(frozen=True, slots=True)
class TagTest:
    """Asks for one value of a tag."""

    test: Compare
    key: str
    value: str

    def head(self, dialect: Dialect) -> Sql:
        """The condition on alias `t`, as the index has it."""
        return all_of([Sql("t.tag_key = ?", (self.key,)), dialect.begins("t.value", self.value)])

    @property
    def is_whole(self) -> bool:
        """Whether the index knows the value to its end."""
        return len(self.value) < HEAD_LENGTH


def _asked_tag(tree: Node | None) -> TagTest | None:
    match tree:
        case Compare(field, "=", str() as value) if field.entity is Entity.TAG:
            return None if _is_prompt_tag(tree) else TagTest(tree, field.key, value)
        case _:
            return None


def _complete(query: RegistryQuery) -> tuple[OrderBy, ...]:
    """The order with the kind's own last terms; a field that comes twice decides once."""
    orders = (*(query.order_by or query.kind.default), *query.kind.always)
    first = {order.field: order for order in reversed(orders)}
    return tuple(order for order in orders if first[order.field] is order)


def _statement(
    query: RegistryQuery,
    orders: tuple[OrderBy, ...],
    cursor: Cursor,
    filters: "RegistryFilters",
) -> Sql:
    kind, rare_tag = query.kind, filters.rare_tag
    terms = [Term(None, kind.columns[order.field.key], order.ascending) for order in orders]
    source = kind.source
    if rare_tag is not None:
        source = f"{kind.tags} AS t CROSS JOIN {kind.source}"
    elif _is_name(orders[0].field) or _names_models(query.filter):
        source = kind.by_model
    where = all_of(
        [
            TRUE if rare_tag is None else rare_tag.head(filters.dialect),
            TRUE if rare_tag is None else Sql(kind.same(kind.alias, "t")),
            kind.joined,
            Sql("m.workspace = ?", (query.workspace,)),
            query.seen or TRUE,
            TRUE if _asks_for_prompts(query.filter) else Sql(f"{kind.is_prompt} = 0"),
            TRUE if query.filter is None else compile_tree(query.filter, filters.test),
            TRUE if cursor.places is None else _beyond(terms, cursor.places),
        ]
    )
    columns = ", ".join([*kind.wanted, *[term.value for term in terms]])
    return Sql(
        f"SELECT {columns} FROM {source} WHERE {where.text} "
        f"ORDER BY {order_by(terms)} LIMIT ? OFFSET ?",
        (*where.binds, query.max_results + 1, cursor.offset),
    )


def _beyond(terms: Sequence[Term], places: Sequence[Place]) -> Sql:
    """As `after`, with a bound on the first term alone, so that an index is entered there."""
    operator: LiteralString = ">=" if terms[0].ascending else "<="
    bound = Sql(f"{terms[0].value} {operator} ?", (places[0][1],))
    return all_of([bound, after(terms, places)])


def _names_models(tree: Node | None) -> bool:
    """Whether only models with certain names can pass."""
    match tree:
        case And(items):
            return any(map(_names_models, items))
        case Or(items):
            return all(map(_names_models, items))
        case Compare(field, "=" | "LIKE" | "ILIKE") | In(field, _, False):
            return _is_name(field)
        case _:
            return False


def _is_name(field: Field) -> bool:
    return field in {_MODEL_NAME, _VERSION_NAME}


def _asks_for_prompts(tree: Node | None) -> bool:
    """Any test of the prompts' tag does, but one that it is something else: clients that look for
    models add that themselves.
    """
    match tree:
        case None:
            return False
        case And(items) | Or(items):
            return any(map(_asks_for_prompts, items))
        case Not(item):
            return _asks_for_prompts(item)
        case _:
            return _is_prompt_tag(tree) and not _asks_for_others(tree)


def _asks_for_others(test: Test) -> bool:
    """Of a test of the prompts' tag."""
    match test:
        case Compare(_, operator, "true"):
            return operator == "!="
        case Compare(_, operator, "false"):
            return operator == "="
        case Compare(_, "!=") | In(_, _, True):
            return True
        case _:
            return False


def _is_prompt_tag(test: Test) -> bool:
    return test.field.entity is Entity.TAG and test.field.key == PROMPT_TAG


@dataclass(frozen=True, slots=True)
class RegistryFilters:
    """`rare_tag` is the one, on alias `t`, behind which the search looks."""

    kind: RegistryKind
    dialect: Dialect
    rare_tag: TagTest | None

    def test(self, test: Test) -> Sql:
        if test.field.entity is Entity.ATTRIBUTE:
            return column_test(test, self.kind.columns[test.field.key], self.dialect)
        if _is_prompt_tag(test):
            match test:
                case Compare(_, "=" | "!=", "true" | "false"):
                    # What has no such tag is no prompt.
                    wanted = 0 if _asks_for_others(test) else 1
                    return Sql(f"{self.kind.is_prompt} = ?", (wanted,))
                case _:
                    pass
        if self.rare_tag is not None and self.rare_tag.test is test and self.rare_tag.is_whole:
            return TRUE
        # Other tags are asked of the rare one: what fails is not looked up any further.
        owner = self.kind.alias if self.rare_tag is None else "t"
        found: LiteralString = (
            f"EXISTS (SELECT 1 FROM {self.kind.tags} AS x "
            f"WHERE {self.kind.same('x', owner)} AND x.tag_key = ?"
        )
        if isinstance(test, IsNull):
            return Sql(f"NOT {found})", (test.field.key,))
        inside = text_test(test, "x.value", self.dialect)
        return Sql(f"{found} AND {inside.text})", (test.field.key, *inside.binds))
