from __future__ import annotations

from decimal import Decimal

from django.apps import AppConfig


class WorklistConfig(AppConfig):
    name = "rcm.worklist"
    label = "worklist"
    verbose_name = "Work queues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_delete, post_save

        from rcm.accounts.models import Membership, User
        from rcm.exchange.services import subscribe
        from rcm.jobs import robots
        from rcm.web import nav
        from rcm.worklist import messages, owners, registry, search, services
        from rcm.worklist import robots as off

        post_save.connect(owners.on_user_saved, sender=User, dispatch_uid="worklist.owners")
        post_delete.connect(
            owners.on_membership_gone, sender=Membership, dispatch_uid="worklist.members"
        )
        registry.register(messages.MESSAGES, off.QUEUE)
        robots.register(
            robots.Robot(
                services.CLOSE_CURED,
                "Close items whose cause is gone",
                "items to finish",
                Decimal("0.5"),
                "Items whose cause is gone stay open with the tag “cured”: finish them.",
                "worklist:overview",
                "work.view",
                order=90,
            )
        )
        subscribe("interchange.failed", messages.open_failed, name="worklist.interchange_failed")
        subscribe(
            "interchange.recovered", messages.close_recovered, name="worklist.interchange_recovered"
        )
        subscribe("delivery.parked", messages.open_parked, name="worklist.delivery_parked")
        subscribe("delivery.retried", messages.close_retried, name="worklist.delivery_retried")
        nav.register(
            nav.Entry(
                "Front desk",
                "Work",
                "worklist:overview",
                "work.view",
                count=search.due_for,
                jump="w",
                order=15,
                words="queues items mine due",
            )
        )
