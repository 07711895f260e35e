"""The largest filter and order of a search; each bounds memory, time or a database's own limits."""

MAX_FILTER_LENGTH = 262_144
"""Characters of a filter: room for thousands of quoted run ids."""

MAX_TOKENS = 20_000
"""Words and signs in one filter: twice what the longest list of values has."""

MAX_CLAUSES = 200
"""Comparisons in one filter: each becomes a subquery, and SQLite nests them at most 1000 deep."""

MAX_DEPTH = 12
"""Nested parentheses and NOTs: SQLite's own parser keeps a stack of 100 symbols."""

MAX_VALUES = 5_000
"""Values in all IN lists of one filter: SQLite binds at most 32 766 values to a statement."""

MAX_PATTERN_LENGTH = 8_000
"""Characters of a pattern, as many as the longest tag; SQLite refuses those over 50 000 bytes."""

MAX_ORDER_TERMS = 10
"""Fields in one order: each may become a join."""

MAX_ORDER_LENGTH = 1_000
"""Characters of one item of an order."""
