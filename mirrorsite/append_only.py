"""Rows that are written once; triggers (uploads.triggers) see to it as well."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NoReturn, TypeVar

from django.db import models

from mirrorsite.errors import AppendOnlyError

_M = TypeVar("_M", bound=models.Model)


class AppendOnlyQuerySet(models.QuerySet[_M]):
    """A queryset that reads and adds.

    The triggers refuse the rest as well (uploads.triggers); this says so earlier,
    and in the language of the caller.
    """

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "update"))

    def delete(self) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "delete"))

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self.model._meta.label, "update"))

    def bulk_create(
        self,
        objs: Iterable[_M],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[_M]:
        if ignore_conflicts or update_conflicts:
            raise AppendOnlyError(REFUSED.format(self.model._meta.label, "upsert"))
        return super().bulk_create(objs, batch_size)


#: What is said of a table and of what was tried on it.
REFUSED = "{} is append-only: {} is refused."


class AppendOnlyModel(models.Model):
    """A row that is written once."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError(REFUSED.format(self._meta.label, "update"))
        # Never an UPDATE, also when a row with this primary key is there already.
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError(REFUSED.format(self._meta.label, "delete"))
