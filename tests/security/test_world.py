from __future__ import annotations

from rcm.accounts.database import tenant_models
from tests.security.world import NOT_MADE


def test_both_organizations_have_a_row_in_every_tenant_table(both) -> None:
    labels = {m._meta.label for m in tenant_models()} - NOT_MADE
    assert labels <= set(both.a.rows)
    assert labels <= set(both.b.rows)
