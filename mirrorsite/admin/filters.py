"""Filters of the lists: equality and range conditions that an index serves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin import (
    ChoicesFieldListFilter,
    ListFilter,
)
from django.contrib.admin.filters import FacetsMixin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from mirrorsite.admin import date_hierarchy
from mirrorsite.admin.row_estimates import rough_count
from mirrorsite.times import parse_time

#: Lower than the limit for a list, since a page has a count for each choice.
FACET_EXACT_UP_TO = 1_000


class RoughFacets(FacetsMixin):
    """Counts each choice up to a limit, where Django's facets read every row."""

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
            f"{i}__c": rough_count(chosen, FACET_EXACT_UP_TO)
            for i, chosen in enumerate(self.facet_rows(rows))
        }


class ChoiceFilter(RoughFacets, ChoicesFieldListFilter):
    """One of a column's choices, each with its count when counts are asked for."""

    def facet_rows(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        return [
            rows.filter(**{self.lookup_kwarg: value})
            for value, _ in self.field.flatchoices
        ]


class _RangeFilter(ListFilter):
    """A filter of the time by which a list is ordered, by parameters of the query."""

    parameters: tuple[str, ...]

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
    ) -> None:
        # Each value is a list, though Django's types say otherwise.
        super().__init__(request, params, model, model_admin)  # type: ignore[arg-type]
        self.request = request
        self.model = model
        self.column = model_admin.ordering[0].removeprefix("-")
        self.used = {
            name: params.pop(name)[-1] for name in self.parameters if name in params
        }

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def _others(self) -> list[tuple[str, str]]:
        """Return the other parameters, for a form to send along."""
        dropped = {*self.parameters, "p", "older", "newer", "oldest", "e"}
        return [
            (name, value)
            for name, values in self.request.GET.lists()
            for value in values
            if name not in dropped
        ]


class TimeFilter(_RangeFilter):
    """From and until, in UTC, with links for the usual periods."""

    title = "time (UTC)"
    template = "admin/uploads/time_filter.html"
    parameters = ("within", "since", "until")
    stretches = {
        "1h": ("last hour", timedelta(hours=1)),
        "24h": ("last 24 hours", timedelta(hours=24)),
        "7d": ("last 7 days", timedelta(days=7)),
        "30d": ("last 30 days", timedelta(days=30)),
    }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        used = self.used
        if within := used.get("within"):
            if within not in self.stretches:
                raise IncorrectLookupParameters(f"within={within!r}")
            start = timezone.now() - self.stretches[within][1]
            queryset = queryset.filter(**{f"{self.column}__gte": start})
        if since := used.get("since"):
            queryset = queryset.filter(**{f"{self.column}__gte": _time(since)})
        if until := used.get("until"):
            queryset = queryset.filter(**{f"{self.column}__lt": _time(until)})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        used = self.used
        yield {
            "selected": not used,
            "query_string": changelist.get_query_string(remove=list(self.parameters)),
            "display": "Any time",
            # For the form beside the links.
            "since": used.get("since", ""),
            "until": used.get("until", ""),
            "others": self._others(),
        }
        for name, (words, _) in self.stretches.items():
            yield {
                "selected": used.get("within") == name,
                "query_string": changelist.get_query_string(
                    {"within": name}, ["since", "until"]
                ),
                "display": words.capitalize(),
            }


class DateFilter(_RangeFilter):
    """Year, month, day and hour to step down through; shown above the list.

    Django's own date hierarchy asks which dates there are, which reads every row;
    this offers each one between the first and the last upload.
    """

    title = "date (UTC)"
    template = "admin/uploads/nothing.html"
    parameters = ("on",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (on := self.used.get("on")):
            return queryset
        try:
            start, end = date_hierarchy.parse(on).bounds()
        except ValueError as error:
            raise IncorrectLookupParameters(str(error)) from error
        return queryset.filter(
            **{f"{self.column}__gte": start, f"{self.column}__lt": end}
        )

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield from ()

    def navigation(self, changelist: Any) -> dict[str, Any]:
        """Return the links up and down as addresses and texts, and the current period."""
        on = self.used.get("on")
        period = date_hierarchy.parse(on) if on else None
        times = self.model._default_manager.order_by(self.column).values_list(
            self.column, flat=True
        )
        first, last = times.first(), times.last()
        below = (
            date_hierarchy.subdivisions(period, first, last) if first and last else []
        )

        def link(to: date_hierarchy.Period, name: str) -> tuple[str, str]:
            return changelist.get_query_string({"on": str(to)}), name

        trail = []
        if period:
            trail = [(changelist.get_query_string(remove=["on"]), "All dates")]
            trail += [link(above, above.full_name()) for above in period.above()]
        elif below and (above := below[0].above()):
            period = above[-1]
        return {
            "trail": trail,
            "current": period.full_name() if period else "",
            "steps": [link(step, step.short_name()) for step in below],
        }


def _time(text: str) -> datetime:
    """Read what a datetime-local field sends, as UTC."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise IncorrectLookupParameters(str(error)) from error
