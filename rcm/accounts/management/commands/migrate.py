"""Django's `migrate`, with each change of a model seen by that model alone: an empty database has
its tables in seconds.

For each operation Django renders the model anew that it changes, and with it all models connected
to it: here nearly all of them, some twenty thousand renderings for the whole schema. Tables are
made from one model and the columns it points to, so the others may keep the class they have. Where
that is not so, in migrations that rename or that alter a key, Django's own way is taken; functions
that run in a migration are given models rendered whole, as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.commands import migrate
from django.db.migrations import Migration, operations
from django.db.migrations.state import ProjectState

RENAMES = (operations.RenameModel, operations.RenameField, operations.SeparateDatabaseAndState)


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with rendered_alone():
            super().handle(*args, **options)


@contextmanager
def rendered_alone() -> Iterator[None]:
    """In this block migrations that allow it render only the models they change."""
    whole, apply = ProjectState._find_reload_model, Migration.apply  # type: ignore[attr-defined]

    def alone(
        state: ProjectState, app_label: str, model_name: str, delay: bool = False
    ) -> set[tuple[str, str]]:
        state.is_delayed = True  # functions of a migration have the state rendered anew
        return {(app_label, model_name)}

    def apply_one(migration: Migration, state: ProjectState, *args: Any, **named: Any) -> Any:
        if touches_others(migration):
            state.clear_delayed_apps_cache()
            return apply(migration, state, *args, **named)
        ProjectState._find_reload_model = alone  # type: ignore[attr-defined]
        try:
            return apply(migration, state, *args, **named)
        finally:
            ProjectState._find_reload_model = whole  # type: ignore[attr-defined]

    Migration.apply = apply_one  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Migration.apply = apply  # type: ignore[method-assign]


def touches_others(migration: Migration) -> bool:
    """Whether it renames, or alters a column that other tables may point to."""
    return any(
        isinstance(one, RENAMES) or (isinstance(one, operations.AlterField) and one.field.unique)
        for one in migration.operations
    )
