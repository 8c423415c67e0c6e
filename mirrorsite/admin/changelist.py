"""Change lists whose cost does not grow with the table.

Pages are found by cursor (the values of the previous page's last row), not by OFFSET;
counts above a limit are estimates; and rows are always in the order of an index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db import DataError, IntegrityError, transaction
from django.db.models import DateTimeField, Field, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst

from mirrorsite.admin.filters import DateFilter
from mirrorsite.admin.row_estimates import RoughCount, rough_count
from mirrorsite.times import parse_time

M = TypeVar("M", bound=Model)

OLDER, NEWER, OLDEST = "older", "newer", "oldest"
CURSORS = (OLDER, NEWER, OLDEST)
#: Separates the values of a cursor; no time, number or UUID contains it.
SEPARATOR = "~"


class FilteredChangeList(ChangeList):
    """A change list that accepts only the parameters of its filters.

    Django's accepts any lookup on any column: a regular expression over every row, or
    the beginning of a token's hash. Raises `IncorrectLookupParameters` for these, and
    for values that neither Python nor the database can read.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except (DataError, OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        if unknown := found[2]:
            raise IncorrectLookupParameters(f"no filters: {sorted(unknown)}")
        return found


class CursorChangeList(FilteredChangeList):
    """A change list that pages by cursor, newest first.

    The admin's `ordering` is one or two columns, all descending, in the order of an
    index.
    """

    model_admin: BigTableAdmin[Any]
    result_count: RoughCount
    cursors = CURSORS

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        wanted = super().get_filters_params(params)
        return {name: values for name, values in wanted.items() if name not in CURSORS}

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.model_admin.ordering)

    def get_results(self, request: HttpRequest) -> None:
        page_size = self.list_per_page
        cursors = {name: request.GET[name] for name in CURSORS if name in request.GET}
        rows = self.queryset
        backwards = NEWER in cursors or OLDEST in cursors
        if OLDER in cursors:
            rows = rows.filter(self._beyond(cursors[OLDER], "lt"))
        elif NEWER in cursors:
            rows = rows.filter(self._beyond(cursors[NEWER], "gt"))
        found = list((rows.reverse() if backwards else rows)[: page_size + 1])
        has_more = len(found) > page_size
        found = found[:page_size]
        if backwards:
            found.reverse()
            self.has_older, self.has_newer = NEWER in cursors, has_more
        else:
            self.has_older, self.has_newer = has_more, OLDER in cursors
        self.result_list = found
        self.result_count = rough_count(self.queryset)
        self.multi_page = self.has_older or self.has_newer
        # Django's own get_results sets these, and its template tags read them.
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.full_result_count = None
        self.can_show_all = False
        self.paginator = self.model_admin.get_paginator(request, rows, page_size)

    @property
    def result_count_words(self) -> str:
        # A template formats an int itself and ignores `RoughCount.__str__`.
        return str(self.result_count)

    @property
    def dates(self) -> dict[str, Any] | None:
        """Return the template's variables for the date hierarchy; None without one."""
        for spec in self.filter_specs:
            if isinstance(spec, DateFilter):
                return spec.navigation(self)
        return None

    def pages(self) -> list[tuple[str, str]]:
        """Return the links below the list: text and address of each."""
        links = []
        if self.has_newer:
            links.append(("Newest", self._link({})))
            links.append(("Newer", self._link({NEWER: self._cursor(0)})))
        if self.has_older:
            links.append(("Older", self._link({OLDER: self._cursor(-1)})))
            links.append(("Oldest", self._link({OLDEST: "1"})))
        return links

    def _link(self, cursor: dict[str, str]) -> str:
        empty = dict.fromkeys(CURSORS)
        return self.get_query_string({**empty, **cursor})

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        # A link that sets no cursor drops the current one: another filter starts at the
        # first page.
        dropped = {} if new_params and set(new_params) & set(CURSORS) else CURSORS
        return super().get_query_string(
            {**dict.fromkeys(dropped), **(new_params or {})}, remove
        )

    def _cursor(self, index: int) -> str:
        if not self.result_list:
            return ""
        row = self.result_list[index]
        return SEPARATOR.join(field.value_to_string(row) for field in self._fields())

    def _fields(self) -> list[Field[Any, Any]]:
        names = [name.lstrip("-") for name in self.model_admin.ordering]
        return [cast("Field[Any, Any]", self.lookup_opts.get_field(n)) for n in names]

    def _beyond(self, cursor: str, side: str) -> Q:
        """Return the condition for the rows after (lt) or before (gt) a cursor."""
        fields = self._fields()
        texts = cursor.split(SEPARATOR)
        try:
            values = [
                parse_time(text)
                if isinstance(field, DateTimeField)
                else field.to_python(text)
                for field, text in zip(fields, texts, strict=True)
            ]
        except (ValueError, OverflowError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        names = [field.name for field in fields]
        if len(names) == 1:
            return Q(**{f"{names[0]}__{side}": values[0]})
        first, second = names
        # PostgreSQL can use the index for the first condition only.
        return Q(**{f"{first}__{side}e": values[0]}) & (
            Q(**{f"{first}__{side}": values[0]}) | Q(**{f"{second}__{side}": values[1]})
        )


class StrictListMixin:
    """Fixes Django's handling of list requests, and of two requests that add one name."""

    opts: Any

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FilteredChangeList

    def lookup_allowed(
        self, lookup: str, value: str, request: HttpRequest | None = None
    ) -> bool:
        """Leave the check to the change list, which knows the filters' parameters."""
        return True

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return retry_on_conflict(super().add_view, request, *args, **kwargs)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Run the chosen action.

        Answer 400 to a selection that the change list cannot have sent.
        """
        # Django's BooleanField reads any other text, except "" and "false", as True:
        # all rows.
        if request.POST.get("select_across", "0") not in {"0", "1"}:
            raise BadRequest("select_across must be 0 or 1.")
        pk = self.opts.pk
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                pk.run_validators(pk.to_python(chosen))
        except (ValueError, ValidationError) as error:
            raise BadRequest("The selection contains an invalid id.") from error
        return super().response_action(request, queryset)  # type: ignore[misc]


class BigTableAdmin(StrictListMixin, admin.ModelAdmin[M]):
    """A read-only admin whose list is a `CursorChangeList`."""

    ordering: ClassVar[tuple[str, ...]]
    change_form_template = "admin/uploads/view_form.html"
    list_per_page = 50
    list_max_show_all = 0
    sortable_by = ()
    show_full_result_count = False
    #: Returns the rows that match the text of the search box.
    search: Callable[[QuerySet[M], str], QuerySet[M]]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = capfirst(self.opts.verbose_name_plural)
        return super().changelist_view(
            request, {"title": title, **(extra_context or {})}
        )

    def get_changelist(
        self, request: HttpRequest, **kwargs: Any
    ) -> type[CursorChangeList]:
        return CursorChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return self.search(queryset, term), False

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("uploads.export_upload")


def retry_on_conflict(
    view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
) -> HttpResponse:
    """Call a form's view; call it again if another request took the name in between.

    The second time the form sees the committed row, and shows its error.
    """
    try:
        with transaction.atomic():
            return view(*args, **kwargs)
    except (IntegrityError, ValidationError):
        return view(*args, **kwargs)
