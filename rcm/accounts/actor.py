"""The actor: who does something, and on whose rows. Every service takes one; nothing happens
anonymously.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


class PermissionRefused(Exception):
    """The actor lacks a permission. `code` is the permission, the text is a sentence for the
    screen.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"Your role does not include “{code}”. Ask a manager or an administrator.")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a partner system or a named automatic step.

    `sites` empty means every site of the organizations. `name` is frozen into each event and audit
    row beside the id.
    """

    name: str
    kind: str  # person | partner | system
    organizations: frozenset[int]
    permissions: frozenset[str] = frozenset()
    sites: frozenset[int] = frozenset()
    user_id: int | None = None
    roles: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def system(cls, name: str, organizations: Iterable[int]) -> Actor:
        """An automatic step such as `eligibility`; may do everything on the named organizations'
        rows.
        """
        return cls(name=name, kind="system", organizations=frozenset(organizations))

    def can(self, code: str) -> bool:
        return self.kind == "system" or code in self.permissions

    def require(self, code: str) -> None:
        """Raise PermissionRefused unless the actor holds the permission."""
        if not self.can(code):
            raise PermissionRefused(code)

    @property
    def tag(self) -> str:
        """What the database triggers write as the author of a change."""
        return f"{self.kind}:{self.user_id or ''}:{self.name}"
