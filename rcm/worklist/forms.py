"""The forms of the evidence panel and of the bulk bar. The services check again; these only read
what was typed.
"""

from __future__ import annotations

from typing import Any

from django import forms

from rcm.accounts.actor import Actor
from rcm.accounts.models import Organization, Site, User
from rcm.reference.models import Payer
from rcm.web import forms as house
from rcm.worklist import registry
from rcm.worklist.filters import colleagues
from rcm.worklist.models import Channel

# words offered while typing; any other words are as good
ACTIONS = (
    "Called payer",
    "Checked portal",
    "Sent records",
    "Waiting for callback",
    "Asked for correction",
    "Called practice",
    "Called patient",
)
OUTCOMES = (
    "In process",
    "Promised payment",
    "Needs records",
    "Not on file",
    "Denied",
    "Paid already",
    "No answer",
)


class PersonField(forms.ModelChoiceField):
    def label_from_instance(self, obj: User) -> str:
        return obj.display_name


class TouchForm(house.VersionedMixin, house.HouseForm):
    """Every form of the panel: it knows its item by `prefix`, so that ids on a page stay unique."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"{type(self).__name__.lower()}_%s")
        super().__init__(*args, **kwargs)
        self.label_suffix = ""


class ActForm(TouchForm):
    action = forms.CharField(
        label="Next action",
        max_length=120,
        widget=forms.TextInput(
            attrs={"list": "work-actions", "data-key": "d", "data-key-label": "Set next action"}
        ),
    )
    note = forms.CharField(
        label="Note", max_length=400, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    next_action_on = house.DateField(label="Come back on", help_text="")


class NoteForm(TouchForm):
    note = forms.CharField(
        label="Note",
        max_length=300,
        widget=forms.Textarea(attrs={"rows": 2, "data-key": "n", "data-key-label": "Write a note"}),
    )


class ContactForm(TouchForm):
    channel = forms.ChoiceField(label="How", choices=Channel.choices)
    contact = forms.CharField(label="Who answered", max_length=80, required=False)
    reference = forms.CharField(label="Reference number", max_length=60, required=False)
    outcome = forms.CharField(
        label="Outcome", max_length=60, widget=forms.TextInput(attrs={"list": "work-outcomes"})
    )
    note = forms.CharField(
        label="What was said", max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
    promised_on = house.DateField(label="Promised for", required=False, help_text="")


class PendForm(TouchForm):
    until = house.DateField(label="Return on", help_text="")
    reason = forms.CharField(label="Why it waits", max_length=120)


class AssignForm(TouchForm):
    to = PersonField(label="Person", queryset=User.objects.none())

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["to"].queryset = colleagues(actor)  # type: ignore[attr-defined]


class OwnerForm(house.HouseForm):
    """Who gets what nobody owns: a queue, a payer, a site, or what lies in all that are named."""

    organization = forms.ModelChoiceField(
        label="Organization", queryset=Organization.objects.none(), empty_label="Choose"
    )
    queue = forms.ChoiceField(label="Queue", required=False)
    payer = forms.ModelChoiceField(
        label="Payer",
        queryset=Payer.objects.filter(active=True).order_by("name"),
        required=False,
        empty_label="Every payer",
    )
    site = forms.ModelChoiceField(
        label="Site", queryset=Site.objects.none(), required=False, empty_label="Every site"
    )
    user = PersonField(label="Owner", queryset=User.objects.none(), empty_label="Choose")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        able = actor.where("work.assign").organizations
        places = self.fields["organization"]
        places.queryset = Organization.objects.filter(pk__in=able).order_by("name")  # type: ignore[attr-defined]
        if len(able) == 1:
            places.widget = forms.HiddenInput()
            self.initial["organization"] = min(able)
        self.fields["queue"].choices = [  # type: ignore[attr-defined]
            ("", "Every queue"),
            *((q.code, q.label) for q in registry.all_queues()),
        ]
        sites = Site.objects.filter(organization_id__in=able).order_by("name")
        self.fields["site"].queryset = sites  # type: ignore[attr-defined]
        self.fields["user"].queryset = colleagues(actor)  # type: ignore[attr-defined]


class EscalateForm(TouchForm):
    reason = forms.CharField(label="Why a manager must look", max_length=200)


class FinishForm(TouchForm):
    outcome = forms.CharField(label="How it ended", max_length=60)
    note = forms.CharField(label="Note", max_length=200, required=False)
