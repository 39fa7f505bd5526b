"""What a reader keeps of the screens: saved views."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from rcm.accounts.actor import Actor
from rcm.accounts.tenancy import QuietModel


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, actor: Actor) -> Self:
        """The reader's own, and those shared by people of the same organizations."""
        shared = Q(shared=True, owner__memberships__organization_id__in=actor.organizations)
        return self.filter(Q(owner_id=actor.user_id) | shared).distinct()


class SavedView(QuietModel):
    """A list's query string under a name. The search text and the position are never kept: they may
    name a patient.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views"
    )
    path = models.CharField(max_length=200)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=1000, blank=True)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "path", "name"], name="one_view_of_a_name")
        ]
        indexes = [models.Index(fields=["path"], name="saved_view_path")]

    def __str__(self) -> str:
        return self.name
