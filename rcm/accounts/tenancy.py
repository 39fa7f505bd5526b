"""Base of every tenant-owned table, and the one place in code that filters by organization and
site.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import uuid6
from django.db import models

from rcm.accounts import reading
from rcm.accounts.actor import Actor
from rcm.accounts.charts import PatientKey


def uuid7() -> Any:
    """A time-ordered public id (UUIDv7)."""
    return uuid6.uuid7()


class QuietModel(models.Model):
    """A model whose repr names the class and key only, so that logs and error pages never show a
    patient's values.
    """

    class Meta:
        abstract = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.pk}>"


class TenantQuerySet(models.QuerySet):
    """`visible_to(actor)` is the only door by which screens and the API reach tenant rows."""

    def visible_to(self, actor: Actor) -> Self:
        return self.filter(self.visible_q(actor))

    def visible_q(self, actor: Actor) -> models.Q:
        """The condition of `visible_to`, for a list that joins several of them."""
        q = models.Q(organization_id__in=actor.organizations)
        path = getattr(self.model, "site_path", None)
        if actor.sites and path:
            here = models.Q(**{f"{path}__in": actor.sites})
            q &= here | models.Q(**{f"{path}__isnull": True})
        return q

    def __repr__(self) -> str:
        return f"<{self.model.__name__} rows>"


def organization_key(**more: Any) -> models.ForeignKey:
    """The organization of a row, for a table of many rows that says more of it than TenantModel:
    `db_index=False` where another index begins with the column, `db_constraint=False` where a
    reference that is never empty holds the organization too.
    """
    return models.ForeignKey(
        "accounts.Organization", on_delete=models.PROTECT, related_name="+", **more
    )


class TenantModel(QuietModel):
    """A row of one organization. Forced row-level security is put on every subclass's table
    (rcm.accounts.database).

    `site_path`: lookup to the site id where the row belongs to one. `append_only`: the database
    refuses UPDATE and DELETE. `audited`: changes are kept by trigger with actor and request.
    `patient_keys`: the columns that name a patient, and what a merge of charts does with them.
    `shows_patient`: the column with the patient's key, where the row itself carries the name.
    """

    site_path: ClassVar[str | None] = None
    append_only: ClassVar[bool] = False
    audited: ClassVar[bool] = True
    patient_keys: ClassVar[tuple[PatientKey, ...]] = ()
    shows_patient: ClassVar[str] = ""

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    organization = organization_key()
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """A row as read from the database; one with a patient's name tells whose chart it is."""
        row = super().from_db(*args, **kwargs)
        if cls.shows_patient:
            known = row.__dict__
            reading.loaded(known.get("organization_id"), known.get(cls.shows_patient))
        return row
