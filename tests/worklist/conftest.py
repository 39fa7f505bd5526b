from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from rcm.accounts.scope import scope
from rcm.worklist import registry, services
from rcm.worklist.models import WorkItem


def panel(item, actor):
    return registry.Panel(
        why=f"Authorization A-1 covers 74177. The exam billed was {item.facts.get('exam')}.",
        grid=[
            {
                "cell": "Order",
                "code": "74178",
                "text": "CT abdomen",
                "more": "Rt",
                "differs": False,
            },
            {
                "cell": "Authorization",
                "code": "74177",
                "text": "CT with contrast",
                "more": "A-1",
                "differs": True,
            },
        ],
        fixes=[
            registry.Fix("Request update", "/somewhere/", permission="denial.work", primary=True),
            registry.Fix("Secret", "/secret/", permission="users.manage"),
        ],
    )


@pytest.fixture(autouse=True)
def test_queue(monkeypatch):
    monkeypatch.setattr(registry, "_QUEUES", dict(registry._QUEUES))
    registry.register(
        registry.Queue(
            "test_denials",
            "Test denials",
            "Receivables",
            "denial.view",
            80,
            "Every denial due today is worked.",
            deadline_word="Appeal by",
            facts=(("exam", "Exam"), ("component", "Component")),
            panel=panel,
            work_permission="denial.work",
            views=(
                ("Auth mismatch", "cause=auth_mismatch"),
                ("Filing limit < 10 d", "days=10"),
                ("TC/26", "component=TC,26"),
            ),
        )
    )
    cache.clear()


@pytest.fixture
def enter():
    def signed_in(cast, name: str) -> Client:
        client = Client()
        client.force_login(
            cast.user(name), backend="allauth.account.auth_backends.AuthenticationBackend"
        )
        return client

    return signed_in


def make_items(
    cast, count: int, *, system=None, organization=None, site=None, start: int = 1, **changes
) -> list[WorkItem]:
    """`count` denials; item n is due in n days and worth n × 10 dollars."""
    now = timezone.now()
    organization = organization or cast.a
    specs = [
        services.ItemSpec(
            organization_id=organization.pk,
            queue="test_denials",
            subject_type="test",
            subject_id=n,
            cause="auth_mismatch" if n % 2 else "timely",
            title=f"Denial {n} of the payer",
            due_at=now + timedelta(days=n),
            dollars=Decimal(n * 10),
            deadline_on=timezone.localdate() + timedelta(days=n),
            site_id=site.pk if site else None,
            patient_id=None,
            patient_name=f"Patient {organization.code}-{n}",
            payer_name="Prairie Health",
            facts={
                "claim": f"C{n:05d}",
                "exam": "74178",
                "component": "TC" if n % 3 == 0 else "Global",
                "mrn": f"M{n}",
                "modality": "CT",
            },
            **changes,
        )
        for n in range(start, start + count)
    ]
    system = system or cast.system
    with scope(system):
        services.open_items(specs, actor=system)
        return list(WorkItem.objects.filter(organization=organization).order_by("subject_id"))
