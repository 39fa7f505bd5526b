"""Holds, assistance, the agency and the mail in the real browser: nothing is cut, covered or
refused, and axe is content.
"""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from ar import services
from ar.models import Statement, StatementDelivery
from ar.services.delivery import deliveries_open, link_of
from rcm.accounts.scope import scope
from tests.ar.test_agency import agency, propose, send, unanswered
from tests.ar.test_assistance import ask, scale, submit
from tests.browser import Inspector, violations
from tests.browser import enter as browse  # noqa: F401  a fixture; this folder has another `enter`

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def pages(cast_committed) -> list[str]:
    """A patient with everything that can stand on an account, and the pages that show it."""
    cast = cast_committed
    scale(cast)
    b, other = unanswered(cast), unanswered(cast, copay=45)
    actor = cast.actor("ari")
    agency(cast)
    send(cast, propose(cast))
    with scope(actor):
        row = services.hold_set(patient=b.patient, kind="returned", actor=actor)
        services.hold_set(
            patient=b.patient,
            kind="bankruptcy",
            case_number="26-10417",
            event_on=timezone.localdate(),
            note="The trustee wrote",
            actor=actor,
        )
        services.channel_choose(patient=other.patient, channel="link", actor=actor)
        services.agency_recalls(organization_id=cast.a.pk, actor=cast.system)
        type(b.patient).objects.filter(pk=b.patient.pk).update(address="9 Oak Ave")
        services.hold_lift(hold=row, reason="New address", actor=actor)
    application = submit(cast, ask(cast, other, income="45000.00"))
    fresh = unanswered(cast, copay=30)
    batch = propose(cast)
    with scope(actor):
        services.channel_choose(patient=fresh.patient, channel="link", actor=actor)
        latest = Statement.objects.filter(patient=fresh.patient).select_related("patient")
        deliveries_open(list(latest), at=timezone.now())
        link = link_of(way_of(fresh))
        services.mail_batch_make(organization_id=cast.a.pk, actor=actor)
    return [
        reverse("ar:account", args=[b.patient.public_id]),
        reverse("ar:hold", args=[b.patient.public_id]),
        reverse("ar:account", args=[fresh.patient.public_id]),
        reverse("ar:assistance", args=[application.public_id]),
        reverse("ar:assistance_decide", args=[application.public_id]),
        reverse("ar:scale"),
        reverse("ar:scale_new"),
        reverse("ar:approvals"),
        reverse("ar:agencies"),
        reverse("ar:agency_batch", args=[batch.public_id]),
        reverse("ar:mail"),
        "/" + link.split("/", 3)[3],
    ]


def way_of(b):
    rows = StatementDelivery.objects.filter(statement__patient=b.patient)
    return rows.order_by("pk").first()


def test_every_page_about_a_patients_money_reads_well(pages, browse) -> None:  # noqa: F811
    page = browse("/patient-accounts/")
    origin = page.url.split("/patient-accounts/")[0]
    faults: list[str] = []
    for path in pages:
        page.goto(f"{origin}{path}")
        found = [*violations(page), *Inspector(page).faults_of_layout()]
        faults += [f"{path}: {f}" for f in found]
    assert faults == []
