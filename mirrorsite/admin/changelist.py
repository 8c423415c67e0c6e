"""Change lists whose cost does not grow with the table.

Pages are found by cursor (the key of the previous page's last row), not by OFFSET;
counts above a limit are estimates; and rows are always in the order of an index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import BadRequest, ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from mirrorsite.admin.filters import TimeFilter
from mirrorsite.admin.row_estimates import rough_count

M = TypeVar("M", bound=Model)

#: Separates the direction of a cursor from the key; no number or UUID contains it.
SEPARATOR = "~"


class FilteredChangeList(ChangeList):
    """A change list that accepts only the parameters of its filters.

    Django's own accepts any lookup on any column: `name__regex` scans every row, and
    `digest__startswith` reveals a token's hash digit by digit. Raises
    `IncorrectLookupParameters` for unknown parameters, and for values that Python or the
    database rejects.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except (DataError, OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        unknown = found[2]  # the parameters that no filter has taken
        if unknown:
            raise IncorrectLookupParameters(f"unknown filters: {sorted(unknown)}")
        return found


class CursorChangeList(FilteredChangeList):
    """A change list that pages by cursor, newest first.

    The admin's `ordering` is one or two columns, all descending, in the order of an
    index. The page parameter is `oldest`, or `older` or `newer` with the primary key of
    the row that the page follows or precedes.
    """

    model_admin: BigTableAdmin[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.ordering)

    def get_results(self, request: HttpRequest) -> None:
        size = self.list_per_page
        direction, _, pk = request.GET.get(PAGE_VAR, "").partition(SEPARATOR)
        backwards = direction in {"newer", "oldest"}
        rows = self.queryset.reverse() if backwards else self.queryset
        if direction in {"older", "newer"}:
            rows = rows.filter(self._beyond(pk, "gt" if backwards else "lt"))
        # A further row shows whether another page follows in this direction. In the
        # opposite direction there is one if the user came from there (older, newer), and
        # none if the user went straight to the newest or the oldest page.
        found = list(rows[: size + 1])
        has_more = len(found) > size
        if backwards:
            self.result_list = found[:size][::-1]
            self.has_newer, self.has_older = has_more, direction == "newer"
        else:
            self.result_list = found[:size]
            self.has_newer, self.has_older = direction == "older", has_more
        self.multi_page = self.has_older or self.has_newer
        self.result_count = rough_count(self.queryset)

    def dates(self) -> dict[str, Any] | None:
        """Return the template's variables for the date hierarchy; None without one."""
        for spec in self.filter_specs:
            if isinstance(spec, TimeFilter):
                return spec.navigation(self)
        return None

    def page_links(self) -> list[tuple[str, str]]:
        """Return the links to other pages: text and address of each."""
        rows = self.result_list
        pages: dict[str, str | None] = {}
        if self.has_newer or (self.has_older and not rows):
            # None removes the parameter: without it, the page is the newest.
            pages["Newest"] = None
        # The page is empty if none of its rows match the filter any more: then there is no
        # row from which to link to newer or older ones.
        if rows and self.has_newer:
            pages["Newer"] = f"newer{SEPARATOR}{rows[0].pk}"
        if rows and self.has_older:
            pages |= {"Older": f"older{SEPARATOR}{rows[-1].pk}", "Oldest": "oldest"}
        return [
            (text, self.get_query_string({PAGE_VAR: page}))
            for text, page in pages.items()
        ]

    def _beyond(self, pk: str, lookup: str) -> Q:
        """Return the condition for rows older (lt) or newer (gt) than that with this key."""
        names = [name.removeprefix("-") for name in self.model_admin.ordering]
        try:
            row = self.root_queryset.values_list(*names).get(pk=pk)
        except (ObjectDoesNotExist, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        if len(names) == 1:
            return Q(**{f"{names[0]}__{lookup}": row[0]})
        first, second = names
        # In this form the index scan starts at the row: PostgreSQL uses the index for
        # the first condition, and cannot use it for the OR.
        return Q(**{f"{first}__{lookup}e": row[0]}) & (
            Q(**{f"{first}__{lookup}": row[0]}) | Q(**{f"{second}__{lookup}": row[1]})
        )


class StrictAdminMixin:
    """Rejects unknown parameters of a list, and selections with an invalid id.

    If another request has just saved an object with the same name, a form reports that.
    """

    opts: Any

    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        view = super().changeform_view  # type: ignore[misc]
        try:
            return view(*args, **kwargs)  # type: ignore[no-any-return]
        except (IntegrityError, ValidationError):
            # Another request has taken the name since the form was validated. Validated
            # again, the form reports that.
            return view(*args, **kwargs)  # type: ignore[no-any-return]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FilteredChangeList

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        pk = self.opts.pk
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                pk.run_validators(pk.to_python(chosen))
        except (ValueError, ValidationError) as error:
            raise BadRequest("The selection contains an invalid id.") from error
        return super().response_action(request, queryset)  # type: ignore[misc]


class BigTableAdmin(StrictAdminMixin, admin.ModelAdmin[M]):
    """A read-only admin whose list is a `CursorChangeList`."""

    ordering: ClassVar[tuple[str, ...]]
    change_form_template = "admin/uploads/view_form.html"
    list_per_page = 50
    sortable_by = ()
    #: Returns the rows that match the text of the search box.
    search: Callable[[QuerySet[M], str], QuerySet[M]]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_add_permission = has_delete_permission = has_change_permission

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[CursorChangeList]:
        return CursorChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        term = search_term.strip()
        return (self.search(queryset, term) if term else queryset), False

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("uploads.export_upload")
