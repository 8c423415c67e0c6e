"""Models whose rows are never changed or deleted; triggers enforce it too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

from django.db import models

from mirrorsite.errors import AppendOnlyError

_M = TypeVar("_M", bound=models.Model)


class UndeletableQuerySet(models.QuerySet[_M]):
    """A queryset that raises `AppendOnlyError` instead of deleting.

    The triggers refuse it too (uploads.triggers), but only when the statement is
    executed, and with an integrity error.
    """

    def delete(self) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "delete"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class AppendOnlyQuerySet(UndeletableQuerySet[_M]):
    """A queryset that reads and inserts, and raises `AppendOnlyError` for the rest."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "update"))

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "update"))

    def bulk_create(  # type: ignore[override]
        self, objs: Iterable[_M], batch_size: int | None = None, **conflicts: Any
    ) -> list[_M]:
        if any(conflicts.values()):
            raise AppendOnlyError(REFUSED.format(self.model._meta.label, "upsert"))
        return super().bulk_create(objs, batch_size)


#: An error's text, for a table's label and the refused operation.
REFUSED = "{} is append-only: {} is refused."


class UndeletableModel(models.Model):
    """A row that is never deleted."""

    class Meta:
        abstract = True

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self._meta.label, "delete"))


class AppendOnlyModel(UndeletableModel):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(REFUSED.format(self._meta.label, "update"))
        # Never an UPDATE, even if a row with this primary key exists.
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)
