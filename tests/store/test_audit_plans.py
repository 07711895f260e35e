"""The audit log is read by its indexes, however long it is, and whatever is asked for."""

import pytest
from tests.store.test_registry_plans import planned

from riverrun.store import audit
from riverrun.store.audit import Wanted

BEFORE = b"b" * 16
CASES = {
    "sqlite_autoindex_audit_log_1 (entry_id": Wanted(),
    "audit_log_by_actor (actor=? AND entry_id": Wanted(actor="ada"),
    "audit_log_by_action (action=? AND entry_id": Wanted(action="login"),
    "audit_log_by_resource (resource_type=? AND resource=? AND entry_id": Wanted(
        resource_type="run", resource="r"
    ),
}


@pytest.mark.parametrize("index", CASES)
@pytest.mark.parametrize("before", [None, BEFORE])
@pytest.mark.parametrize("times", [(None, None), (1, None), (1, 2)])
def test_a_page_is_read_in_its_order_from_where_it_begins(
    index: str, before: bytes | None, times: tuple[int | None, int | None]
):
    asked = CASES[index]
    since, until = times
    wanted = Wanted(asked.actor, asked.action, asked.resource_type, asked.resource, since, until)
    plans = planned(lambda tx: audit.page(tx, wanted, before=before, limit=100))
    (line,) = plans.tables
    name = index.partition(" (")[0]
    assert name in line
    if before is not None:
        assert index in line
    assert plans.whole_tables == []
    assert plans.sorts == []
