"""What the operation of the product leaves behind: of the whole product, so without an
organization.
"""

from __future__ import annotations

from django.db import models


class Backup(models.Model):
    """A backup that was written whole. Its row is written after it, so no backup holds its own."""

    at = models.DateTimeField()
    size = models.BigIntegerField(help_text="Bytes of all its files")
    rows = models.BigIntegerField()
    seconds = models.DecimalField(max_digits=9, decimal_places=1)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} UTC"
