"""The pages of usage in the admin: charts and lists from the sums, and the records themselves."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from quotas import reports
from quotas.charts import chart
from quotas.models import RateLimitRecord
from runtime.console import ReadOnlyAdmin

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

_MOST_COUNTED = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class BoundedPaginator(_Paginator):
    """Counts rows up to a bound: counting millions takes seconds and tells nobody anything."""

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)  # what the admin hands in
        return rows[: _MOST_COUNTED + 1].count()


class RecordAdmin(ReadOnlyAdmin):
    """What each worker wrote down."""

    list_display = (
        "window_start",
        "window_type",
        "identifier",
        "route",
        "node",
        "allowed",
        "refused",
        "would_refuse",
        "last_at",
    )
    # Only what an index answers: a search inside texts would read millions of rows.
    search_fields = ("identifier__exact", "route__exact")
    search_help_text = "The whole caller (consumer:acme) or the whole name of a route."
    sortable_by = ()
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        """Rows of one caller or route, each found by its own index."""
        term = search_term.strip()
        if not term:
            return queryset, False
        column = "identifier" if ":" in term else "route"
        return queryset.filter(**{column: term}), False


class UsageAdmin(ReadOnlyAdmin):
    """One page about a period: over time, by caller, by route, refusals, quotas nearly used."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        period = request.GET.get("period", "7d")
        question = reports.ask(
            period if period in reports.PERIODS else "7d",
            request.GET.get("caller", "").strip(),
            request.GET.get("route", "").strip(),
        )
        grouping = request.GET.get("csv")
        for known in reports.GROUPINGS:
            if grouping == known:
                export: Any = csv_of(reports.rows(question, known), known)
                return cast(HttpResponse, export)
        return self._page(request, question, extra_context or {})

    def _page(
        self, request: HttpRequest, question: reports.Question, extra: dict[str, Any]
    ) -> HttpResponse:
        report = reports.report(question)
        query = request.GET.copy()
        query.pop("csv", None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Usage",
            "opts": self.opts,
            "report": report,
            "chart": chart(report.over_time),
            "near": reports.near_limits(),
            "periods": {name: _days(days) for name, days in reports.PERIODS.items()},
            "period": request.GET.get("period", "7d"),
            "step": "hour" if question.step < timedelta(days=1) else "day",
            "query": query.urlencode(),
            "records": f"admin:{RateLimitRecord._meta.app_label}_ratelimitrecord_changelist",
            **extra,
        }
        return TemplateResponse(request, "admin/quotas/usage.html", context)


def _days(number: int) -> str:
    return "today" if number == 1 else f"last {number} days"


class _Echo:
    """A file that gives back what is written, for csv to write lines into a stream."""

    def write(self, value: str) -> str:
        return value


def csv_of(rows: Iterable[dict[str, Any]], name: str) -> StreamingHttpResponse:
    """*rows* as a download, a line at a time."""
    response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-by-{name}.csv"'
    return response


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    header: list[str] = []
    for row in rows:
        if not header:
            header = list(row)
            yield writer.writerow(header)
        yield writer.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> str:
    """*value* so that no spreadsheet takes it for a formula."""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
