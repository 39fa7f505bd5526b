from __future__ import annotations

from django.apps import AppConfig


class ClaimsConfig(AppConfig):
    name = "claims"
    label = "claims"
    verbose_name = "Claims"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from charges import sections as exam_sections
        from claims import automation, events, queues, search, sections, services
        from claims.present import edits_of_rule
        from claims.services.scrubbing import RUN_KIND
        from claims.views.runs import start_run
        from rcm.exchange.services import register_processor, subscribe
        from rcm.jobs import kinds
        from rcm.web import nav
        from rcm.web.rulebook import register_mentions

        automation.register()
        register_mentions("Edits that rest on it", edits_of_rule)

        for kind, processor in (
            ("TA1", services.ta1_receive),
            ("999", services.a999_receive),
            ("277CA", services.a277ca_receive),
            ("277", services.a277_receive),
        ):
            register_processor(kind, processor, queue="batch")
        for topic, handler in (
            ("charges.released", events.on_charges_released),
            ("charges.changed", events.on_charges_changed),
            ("coverage.changed", events.on_coverage_changed),
            ("claims.accepted", events.on_answer),
            ("claims.rejected", events.on_answer),
            ("network.changed", events.on_network),
        ):
            subscribe(topic, handler, name=f"claims.{topic}", queue="batch")
        kinds.register(RUN_KIND, start_run)
        exam_sections.register("exam", sections.claims_of_exam, order=40)
        nav.register(
            nav.Entry(
                "Claims",
                "Claims",
                "claims:claims",
                "claim.view",
                jump="l",
                order=10,
                words="837 bill submit",
            ),
            nav.Entry(
                "Claims",
                "Scrub edits",
                "claims:edits_queue",
                "claim.view",
                count=queues.open_edits,
                jump="s",
                order=20,
                words="blocked",
                queue="scrub_edits",
            ),
            nav.Entry(
                "Claims",
                "Rejections",
                "claims:rejections",
                "claim.view",
                count=queues.open_rejections,
                jump="j",
                order=30,
                words="277CA 999",
                queue="rejections",
            ),
            nav.Entry(
                "Claims",
                "Batches",
                "claims:batches",
                "claim.view",
                count=queues.open_missing,
                jump="b",
                order=40,
                words="file 837 999 277CA control proof missing",
                queue="missing_acks",
            ),
            nav.Entry(
                "Claims",
                "Scrub runs",
                "claims:scrub_runs",
                "claim.view",
                order=70,
                words="batch edits",
            ),
            nav.Entry(
                "Manage",
                "Edits",
                "claims:edits",
                "edit.view",
                order=30,
                words="catalogue scrub NCCI MUE",
            ),
            nav.Entry(
                "Manage",
                "Payer rules",
                "claims:rules",
                "rules.view",
                order=35,
                words="user rules back-test",
            ),
        )
        nav.register_palette(search.palette)
