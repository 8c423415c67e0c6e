"""List filters: equality and range conditions that an index can answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib.admin import ChoicesFieldListFilter, ListFilter
from django.contrib.admin.filters import FacetsMixin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from mirrorsite.admin import date_hierarchy as dates
from mirrorsite.admin.row_estimates import rough_count
from mirrorsite.times import parse_time

#: Lower than a list's own limit, since the rows of every choice are counted.
FACET_EXACT_UP_TO = 1_000


class RoughFacets(FacetsMixin):
    """Facet counts that are exact up to a limit; Django's own read every row."""

    request: HttpRequest
    expected_parameters: Any

    def facet_rows(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        """Return the rows of each choice, in the order of the choices."""
        raise NotImplementedError

    def get_facet_queryset(self, changelist: Any) -> dict[str, Any]:
        rows = changelist.get_queryset(
            self.request, exclude_parameters=self.expected_parameters()
        )
        return {
            # Django looks these names up.
            f"{i}__c": rough_count(chosen, FACET_EXACT_UP_TO)
            for i, chosen in enumerate(self.facet_rows(rows))
        }


class ChoiceFilter(RoughFacets, ChoicesFieldListFilter):
    """Filters by one of a column's choices; shows the count of each on request."""

    def facet_rows(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        return [
            rows.filter(**{self.lookup_kwarg: value})
            for value, _ in self.field.flatchoices
        ]


class TimeFilter(ListFilter):
    """Filters by the list's time column, in UTC: a recent span, a range, or a period.

    The parameter `on` is the year, month, day or hour chosen in the date hierarchy above
    the list. Django's own hierarchy reads every row to find the dates that occur; this one
    offers every period between the first and the last row.
    """

    title = "time (UTC)"
    template = "admin/uploads/time_filter.html"
    parameters = ("on", "within", "since", "until")
    recent_spans = {
        "1h": ("last hour", timedelta(hours=1)),
        "24h": ("last 24 hours", timedelta(hours=24)),
        "7d": ("last 7 days", timedelta(days=7)),
        "30d": ("last 30 days", timedelta(days=30)),
    }

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
    ) -> None:
        # Each value is a list, though Django's types say otherwise.
        super().__init__(request, params, model, model_admin)  # type: ignore[arg-type]
        self.model = model
        self.column = model_admin.ordering[0].removeprefix("-")
        given = {n: params.pop(n)[-1] for n in self.parameters if n in params}
        #: The filter's parameters that have a value.
        self.used = {name: value for name, value in given.items() if value}

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the matching rows.

        Raises ValueError or OverflowError for an invalid time.
        """
        used = self.used
        bounds = []
        if period := used.get("on"):
            bounds += [
                ("gte", dates.start_of(period)),
                ("lt", dates.start_of(dates.following(period))),
            ]
        if within := used.get("within"):
            if within not in self.recent_spans:
                raise IncorrectLookupParameters(f"within={within!r}")
            bounds.append(("gte", timezone.now() - self.recent_spans[within][1]))
        # A datetime-local field sends no offset: UTC is assumed.
        if since := used.get("since"):
            bounds.append(("gte", parse_time(since)))
        if until := used.get("until"):
            bounds.append(("lt", parse_time(until)))
        for lookup, at in bounds:
            queryset = queryset.filter(**{f"{self.column}__{lookup}": at})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        used = self.used
        yield {
            "selected": not used,
            "query_string": self._link(changelist),
            "display": "Any time",
            # For the form that the template shows below the links; `others` are its hidden
            # inputs.
            "since": used.get("since", ""),
            "until": used.get("until", ""),
            "others": [
                (name, value)
                for name, value in changelist.params.items()
                if name not in self.parameters
            ],
        }
        for name, (label, _) in self.recent_spans.items():
            yield {
                "selected": used.get("within") == name,
                "query_string": self._link(changelist, within=name),
                "display": label.capitalize(),
            }

    def navigation(self, changelist: Any) -> dict[str, Any]:
        """Return the current period, and links to the containing periods and to its parts.

        A link is an address and a text.
        """
        period = current = self.used.get("on", "")
        rows = self.model._default_manager.order_by(self.column)
        times = rows.values_list(self.column, flat=True)
        first, last = times.first(), times.last()
        parts = dates.subdivisions(period, first, last) if first and last else []
        above = []
        if period:
            above = [(self._link(changelist), "All dates")]
            above += [
                (self._link(changelist, on=outer), dates.name(outer))
                for outer in dates.containing(period)
            ]
        elif parts and (containing := dates.containing(parts[0])):
            # No period is chosen, but all rows are in one year or month. `subdivisions` has
            # skipped that one: show it as the current period.
            current = containing[-1]
        return {
            "above": above,
            "current": dates.name(current) if current else "",
            "below": [
                (self._link(changelist, on=part), dates.short_name(part))
                for part in parts
            ],
        }

    def _link(self, changelist: Any, **chosen: str) -> str:
        """Return the list's address with `chosen` as this filter's only parameters."""
        return str(changelist.get_query_string(chosen, list(self.parameters)))
