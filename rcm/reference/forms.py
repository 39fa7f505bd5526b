"""Forms of payers and reference files."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

from rcm.reference.loaders import kinds
from rcm.reference.models import Payer
from rcm.reference.services import EDITABLE
from rcm.web import forms as house


class LoadForm(house.HouseForm):
    """A reference file to look at before it is loaded."""

    kind = forms.ChoiceField(label="What the file is")
    file = forms.FileField(
        label="File",
        help_text="CSV, text as published, gzip, zip with one table, or XLSX; at most 20 MB.",
    )
    effective = house.DateField(
        label="First service date it holds for",
        required=False,
        help_text="Leave empty when the file says it.",
    )
    year = forms.IntegerField(
        label="Year",
        required=False,
        min_value=2010,
        max_value=2100,
        help_text="Fee schedule year, or fiscal year of a diagnosis list.",
    )
    complete = forms.BooleanField(
        label="The file is the whole list",
        required=False,
        help_text="Rows it lacks end on the day before. Needs a date or a year.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["kind"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(kind.name, kind.label) for kind in kinds()]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("complete") and not (values.get("effective") or values.get("year")):
            self.add_error("effective", "Say from which day the rows it lacks no longer hold.")
        return values


class PayerForm(house.HouseModelForm):
    """A payer's habits. An empty number is unknown: the product then assumes its default and says
    so.
    """

    sections = (
        ("Payer", ("name", "edi_id", "phone", "member_id_pattern", "active")),
        (
            "Days to file and to appeal",
            (
                "filing_days",
                "secondary_filing_days",
                "corrected_days",
                "appeal_days",
                "response_days",
            ),
        ),
        (
            "Authorization",
            (
                "retro_auth_days",
                "update_window_days",
                "peer_to_peer_days",
                "auth_decision_hours",
                "reviewer",
                "match_site_by_tin",
                "needs_ordering_match",
            ),
        ),
        ("Orders", ("screening_needs_order", "wants_detailed_indication")),
        ("Claims", ("accepts_replacement", "split_on_locality", "contrast_payable")),
    )

    class Meta:
        model = Payer
        fields = EDITABLE
        labels: ClassVar[dict[str, str]] = {
            "edi_id": "EDI payer id",
            "member_id_pattern": "Shape of the member id",
            "filing_days": "Days to file",
            "secondary_filing_days": "Days to file as secondary",
            "corrected_days": "Days to correct a claim",
            "appeal_days": "Days to appeal",
            "response_days": "Usual days to a payment",
            "retro_auth_days": "Days to ask after the exam",
            "update_window_days": "Business days to change a code after the exam",
            "peer_to_peer_days": "Days for a peer to peer",
            "auth_decision_hours": "Hours to decide",
            "match_site_by_tin": "Matches the site by tax id",
            "needs_ordering_match": "Ordering provider must match",
            "screening_needs_order": "Wants an order for a screening mammogram",
            "wants_detailed_indication": "Wants more than “pain” or “eval” as the reason",
            "accepts_replacement": "Accepts replacement and void claims",
            "split_on_locality": "Wants parts split when read in another locality",
            "contrast_payable": "Pays contrast separately",
        }
