"""What `manage.py check --deploy --database default` says of the people who may sign in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register


@register(Tags.database, deploy=True)
def no_demo_logins(
    app_configs: Any = None, databases: Sequence[str] | None = None, **rest: Any
) -> list[CheckMessage]:
    """Accounts of the demonstration have a password that everybody knows."""
    from rcm.accounts.models import User

    if not databases or settings.DEMO:
        return []
    known = [user.email for user in User.objects.filter(is_active=True) if user.is_demo]
    if not known:
        return []
    return [
        Error(
            f"{len(known)} accounts of the demonstration can sign in, such as {known[0]}.",
            hint="Disable them on the page of accounts, or start with an empty database.",
            id="isocenter.E001",
        )
    ]
