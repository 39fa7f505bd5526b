"""The upload form: what a file is, is found in its content."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization
from rcm.exchange import webhooks
from rcm.exchange.batch import BATCH
from rcm.exchange.contents import kinds_in
from rcm.exchange.detect import HL7_KINDS, X12_INBOUND, Found, detect
from rcm.web import forms as house

TAKEN = X12_INBOUND | HL7_KINDS | {"MPPS", BATCH}


class UploadForm(house.HouseForm):
    sections = (("File", ("organization", "file")),)
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none()
    )
    file = forms.FileField(
        label="File",
        help_text=(
            "835, 999, 277CA, TA1, 271, 277 or 278 as X12, or HL7 messages, one or a batch. What it"
            " is, is read from its content."
        ),
        allow_empty_file=True,
    )

    def __init__(self, *args: Any, organizations: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["organization"]
        field.queryset = Organization.objects.filter(pk__in=organizations, active=True)
        field.empty_label = None
        self.content = b""
        self.found = Found("")

    def clean_file(self) -> Any:
        """Read and judge the content; a file that is not taken is refused with the reason, and
        nothing of it is kept.
        """
        upload = self.cleaned_data["file"]
        if upload.size == 0:
            raise forms.ValidationError("The file is empty. Ask the sender for it again.")
        if upload.size > settings.UPLOAD_LIMIT_BYTES:
            limit = settings.UPLOAD_LIMIT_BYTES // 1_000_000
            raise forms.ValidationError(
                f"The file is larger than {limit} MB. Split it, or let the partner send it by"
                " connection."
            )
        self.content = upload.read()
        self.found = detect(self.content)
        if self.found.kind == BATCH and self.found.sentence:
            raise forms.ValidationError(self.found.sentence)
        if self.found.kind not in TAKEN and TAKEN.isdisjoint(kinds_in(self.content)):
            why = (
                self.found.sentence
                or f"This is a {self.found.kind}, which is sent from here and not received."
            )
            raise forms.ValidationError(
                f"{why} Choose an 835, 999, 277CA, TA1, 271, 277, 278 or an HL7 message."
            )
        return upload


class WebhookForm(house.HouseForm):
    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none(), empty_label="Choose"
    )
    name = forms.CharField(label="Receiver", max_length=80)
    url = forms.CharField(
        label="Address", max_length=300, help_text="It starts with https:// and is public"
    )
    topics = forms.MultipleChoiceField(
        label="Tell it when",
        choices=list(webhooks.TOPICS.items()),
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        able = actor.where("webhook.edit").organizations
        places = self.fields["organization"]
        places.queryset = Organization.objects.filter(pk__in=able).order_by("name")  # type: ignore[attr-defined]
        if len(able) == 1:
            places.widget = forms.HiddenInput()
            self.initial["organization"] = min(able)
