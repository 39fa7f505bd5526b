"""A queue or list page from a declaration: columns, tabs, filters, orders, keyset pages, CSV,
panel.

    DENIALS = ListPage(name="denials", title="Denials", noun=("denial", "denials"), columns=(…),
    orders=(…))

    def denials(request):
        return DENIALS.respond(request, Denial.objects.visible_to(request.actor))

The query string is the whole state (`view`, filters, `q`, `order`, `cursor`, `open`), so Back,
bookmarks and "send me that view" work. One URL answers the page, the rows (htmx target `rows`), the
panel (htmx target `panel`) and the file (`export=csv`). See docs/screens.md.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count, Model, Q, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from rcm.accounts import reading
from rcm.accounts.actor import Actor
from rcm.accounts.clock import office_clock
from rcm.accounts.scope import scope
from rcm.web import format as fmt
from rcm.web import keyset
from rcm.web.models import SavedView
from rcm.web.nav import allowed
from rcm.web.templatetags.house import deadline as deadline_tag
from rcm.web.templatetags.house import tag as tag_of

PAGE_SIZE = 50
COUNT_LIMIT = 10_000
STATE = ("cursor", "open", "export")
# full-width forms too: spreadsheets of East Asian languages read them as the same signs
UNSEEN = " \u3000\xa0\u200b\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Getter = str | Callable[[Any], Any]


def value_of(row: Any, getter: Getter) -> Any:
    """Follow a dotted path (`patient.mrn`), call a function, or read a mapping; a missing link
    gives `None`.
    """
    if callable(getter):
        return getter(row)
    for part in getter.replace("__", ".").split("."):
        row = row.get(part) if isinstance(row, Mapping) else getattr(row, part, None)
        if callable(row) and not isinstance(row, Model):
            row = row()
        if row is None:
            return None
    return row


KINDS: dict[str, Callable[[Any], Any]] = {
    "text": lambda v: v,
    "strong": lambda v: format_html("<b>{}</b>", v),
    "code": lambda v: format_html('<span class="code">{}</span>', v),
    "money": fmt.money,
    "number": fmt.number,
    "percent": fmt.percent,
    "day": lambda v: format_html(
        '<time datetime="{}">{}</time>', fmt.as_date(v) or "", fmt.short_day(v)
    ),
    "mdy": fmt.mdy,
    "born": fmt.born,
    "moment": fmt.moment,
    "clock": fmt.clock,
    "deadline": deadline_tag,
    "tag": lambda v: tag_of(*v) if isinstance(v, tuple) else tag_of(v),
    "yes": lambda v: "Yes" if v else "No",
}
RIGHT = ("money", "number", "percent")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a value, its kind, and a second line in small type.

    `kind` is one of KINDS ("text", "code", "money", "deadline", "tag" with a (words, tone) pair,
    …). `width` is a class of the column: id who payer exam acc money due next tag word date wide
    fit. `link=True` makes this the cell that opens the row; one column has it. `template` draws the
    cell instead (context: `row`, `value`, `request`). `fold=True` hides the column when the table
    is narrow. `order` is the key of an Order that a click on the heading chooses.
    """

    name: str
    label: str
    value: Getter
    kind: str = "text"
    second: Getter | None = None
    second_kind: str = "text"
    width: str = ""
    link: bool = False
    fold: bool = False
    template: str = ""
    order: str = ""
    export: bool = True
    export_second: str = ""

    @property
    def right(self) -> bool:
        return self.kind in RIGHT


@dataclass(frozen=True, slots=True)
class Order:
    """A named order of the list: keys for rcm.web.keyset, the last one unique."""

    name: str
    label: str
    keys: Sequence[str | keyset.Key]


@dataclass(frozen=True, slots=True)
class Tab:
    """A standing view: its rows are `where` (a Q, or a function of the request giving one)."""

    name: str
    label: str
    where: Q | Callable[[HttpRequest], Q] = field(default_factory=Q)
    order: str = ""

    def condition(self, request: HttpRequest) -> Q:
        return self.where(request) if callable(self.where) else self.where


@dataclass(frozen=True, slots=True)
class BulkAction:
    """A button of the bulk bar. It posts `pick` values, each `pk:version` (or `pk`), to
    `url_name`.
    """

    label: str
    url_name: str
    permission: str = ""
    primary: bool = False
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    column: Column
    first: Any
    second: Any
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """A drawn row: the object, its cells, how it opens and what it adds to the bulk bar's sum."""

    object: Any
    pk: Any
    cells: list[Cell]
    label: str
    href: str
    is_open: bool
    pick: str
    amount: str


def inert(value: Any) -> str:
    """A spreadsheet cell that can never become a formula; a negative amount stays a number."""
    if value is None:
        return ""
    number = fmt.as_decimal(value) if not isinstance(value, str) else None
    if number is not None:
        return str(value)
    text = str(value)
    risky = text.startswith(FORMULA_STARTS) or text.lstrip(UNSEEN).startswith(FORMULA_STARTS)
    return f"'{text}" if risky else text


class _Echo:
    def write(self, value: str) -> str:
        return value


def csv_response(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """A CSV download, written while it is read, every cell inert; a byte-order mark keeps accents
    in Excel.
    """
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        yield "\ufeff"
        yield writer.writerow([inert(h) for h in header])
        for row in rows:
            yield writer.writerow([inert(v) for v in row])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    stamp = office_clock().local(timezone.now()).strftime("%Y%m%d-%H%M")
    response["Content-Disposition"] = f'attachment; filename="{name}-{stamp}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def edited(query: QueryDict, **changes: Any) -> str:
    """The query string with some keys replaced; `None` removes one. Starts with `?`, also when
    empty.
    """
    copy = query.copy()
    for key, value in changes.items():
        if value is None or value == "":
            copy.pop(key, None)
        elif isinstance(value, list | tuple):
            copy.setlist(key, [str(v) for v in value])
        else:
            copy[key] = str(value)
    return f"?{copy.urlencode()}"


@dataclass(frozen=True, slots=True)
class ListPage:
    """The declaration of one list. Everything but name, title, columns and orders may be left out.

    - `template`: a page that extends components/queue.html; the component itself by default.
      `rows_template`: its table.
    - `tabs`: standing views; counted in one query, or by `tab_counts(request, rows)` when that is
      too slow.
    - `filterset`: a django-filter class; rendered as the filter bar; its `q` is the search box.
    - `panel(request, pk)`: the HTML of the panel (use `panel_template` to render it), or `None`
      when gone.
    - `detail(row)`: where Enter leads when there is no panel.
    - `summary(request, rows)`: the one line under the title ("14 due today, $5,835 at risk, of 61 open, $14,702 at risk").
    - `bulk`: actions of the bulk bar; `amount` the row's dollars for its sum; `version` the row's
      version.
    - `next_url_name`: the button "Work next …" posts there.
    - `actions(request)`: further `rcm.web.parts.Action` at the head.
    - `on_export(request, count)`: called before a CSV leaves (audit).
    """

    name: str
    title: str
    columns: Sequence[Column]
    orders: Sequence[Order]
    noun: tuple[str, str] = ("row", "rows")
    template: str = "components/queue.html"
    rows_template: str = "components/table.html"
    tabs: Sequence[Tab] = ()
    tab_counts: Callable[[HttpRequest, QuerySet[Any]], Mapping[str, int]] | bool = True
    filterset: type | None = None
    panel: Callable[[HttpRequest, str], str | None] | None = None
    panel_label: str = "Evidence"
    open_first: bool = True
    detail: Callable[[Any], str] | None = None
    row_label: Getter = "pk"
    summary: Callable[[HttpRequest, QuerySet[Any]], str] | None = None
    empty: str = "Nothing matches."
    empty_link: tuple[str, str] | None = None
    bulk: Sequence[BulkAction] = ()
    amount: Getter | None = None
    version: Getter | None = None
    next_url_name: str = ""
    next_label: str = ""
    next_permission: str = ""
    actions: Callable[[HttpRequest], Sequence[Any]] | None = None
    saved: bool = True
    export: bool = True
    on_export: Callable[[HttpRequest, QuerySet[Any]], None] | None = None
    page_size: int = PAGE_SIZE
    export_limit: int = 100_000

    # -- the state in the query string ------------------------------------------------------------

    def tab(self, request: HttpRequest) -> Tab | None:
        wanted = request.GET.get("view")
        return next((t for t in self.tabs if t.name == wanted), self.tabs[0] if self.tabs else None)

    def order(self, request: HttpRequest) -> Order:
        """The order asked for, else the tab's own, else the first. Anything unknown is ignored."""
        current = self.tab(request)
        for wanted in (request.GET.get("order"), current.order if current else ""):
            for order in self.orders:
                if order.name == wanted:
                    return order
        return self.orders[0]

    def respond(
        self, request: HttpRequest, queryset: QuerySet[Any], **context: Any
    ) -> HttpResponseBase:
        """Page, rows, panel or file, whichever the request is for."""
        target = request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else ""
        response: HttpResponseBase
        if target == "panel" and self.panel is not None:
            html = self.panel(request, request.GET.get("open", ""))
            response = HttpResponse(html if html is not None else self._gone())
        else:
            found, filters, tabs = self._narrow(request, queryset)
            if self.export and request.GET.get("export") == "csv":
                return self._csv(request, found)
            shown = self._context(request, found, filters, tabs) | context
            response = render(
                request, self.rows_template if target == "rows" else self.template, shown
            )
        patch_vary_headers(response, ["HX-Request", "HX-Target"])
        response["Cache-Control"] = "no-store"
        return response

    # -- rows -------------------------------------------------------------------------------------

    def _narrow(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> tuple[QuerySet[Any], Any, list[dict[str, Any]]]:
        filters = None
        if self.filterset is not None:
            filters = self.filterset(request.GET, queryset=queryset, request=request)
        current = self.tab(request)
        tabs = self._tabs(request, queryset, current)
        found = queryset
        if filters is not None:
            found = filters.qs if filters.is_valid() else queryset.none()
        if current is not None:
            found = found.filter(current.condition(request))
        return found, filters, tabs

    def _tabs(
        self, request: HttpRequest, queryset: QuerySet[Any], current: Tab | None
    ) -> list[dict[str, Any]]:
        if not self.tabs:
            return []
        if callable(self.tab_counts):
            counted = dict(self.tab_counts(request, queryset))
        elif self.tab_counts and request.headers.get("HX-Target") != "rows":
            asked = {
                f"tab_{t.name}": Count("pk", filter=t.condition(request), distinct=True)
                for t in self.tabs
            }
            counted = {
                k.removeprefix("tab_"): v for k, v in queryset.order_by().aggregate(**asked).items()
            }
        else:
            counted = {}
        return [
            {
                "tab": t,
                "url": f"?view={t.name}",
                "count": counted.get(t.name),
                "current": t is current,
            }
            for t in self.tabs
        ]

    def _row(self, request: HttpRequest, row: Any, opened: str) -> Row:
        cells = [self._cell(request, row, column) for column in self.columns]
        pick = f"{row.pk}:{value_of(row, self.version)}" if self.version else f"{row.pk}"
        href = (
            edited(request.GET, open=row.pk)
            if self.panel
            else self.detail(row)
            if self.detail
            else ""
        )
        amount = value_of(row, self.amount) if self.amount else None
        label = str(value_of(row, self.row_label) or row.pk)
        return Row(
            row,
            row.pk,
            cells,
            label,
            href,
            str(row.pk) == opened,
            pick,
            "" if amount is None else str(amount),
        )

    def _cell(self, request: HttpRequest, row: Any, column: Column) -> Cell:
        raw = value_of(row, column.value)
        if column.template:
            html = render_to_string(column.template, {"row": row, "value": raw, "request": request})
            return Cell(column, mark_safe(html), "", "")  # noqa: S308 - a template's own escaped output
        first = "" if raw in (None, "") else KINDS[column.kind](raw)
        below = value_of(row, column.second) if column.second else None
        second = "" if below in (None, "") else KINDS[column.second_kind](below)
        words = (
            " ".join(str(v) for v in (raw, below) if v not in (None, ""))
            if column.kind in ("text", "strong")
            else ""
        )
        return Cell(column, first, second, words)

    def _context(
        self, request: HttpRequest, found: QuerySet[Any], filters: Any, tabs: list[dict[str, Any]]
    ) -> dict[str, Any]:
        order = self.order(request)
        try:
            page = keyset.page(
                found, order.keys, cursor=request.GET.get("cursor", ""), size=self.page_size
            )
        except keyset.BadCursor:
            page = keyset.page(found, order.keys, size=self.page_size)
        total, more = keyset.capped_count(found, COUNT_LIMIT)
        opened = request.GET.get("open", "")
        first_opened = ""
        if self.panel and not opened and self.open_first and page.rows:
            first_opened = str(page.rows[0].pk)
        panel = None
        if self.panel and (opened or first_opened) and request.headers.get("HX-Target") != "rows":
            html = self.panel(request, opened or first_opened)
            panel = self._gone() if html is None else mark_safe(html)  # noqa: S308 - rendered by a template
        actor = getattr(request, "actor", None)
        chips = self._active(request, filters)
        amounts = (
            [fmt.as_decimal(value_of(r, self.amount)) for r in page.rows] if self.amount else []
        )
        return {
            "page_def": self,
            "rows": [self._row(request, r, opened or first_opened) for r in page.rows],
            "page": page,
            "next_url": edited(request.GET, cursor=page.next, open=None) if page.next else "",
            "previous_url": (
                edited(request.GET, cursor=page.previous, open=None) if page.previous else ""
            ),
            "first_url": edited(request.GET, cursor=None, open=None),
            "total": total,
            "total_words": (
                f"{total:,}{'+' if more else ''}"
                f" {self.noun[0] if total == 1 and not more else self.noun[1]}"
            ),
            "page_amount": (
                sum((a for a in amounts if a is not None), start=Decimal(0)) if amounts else None
            ),
            "summary": self.summary(request, found) if self.summary else "",
            "tabs": tabs,
            "filters": filters,
            "active_filters": chips,
            "narrowed": bool(chips or request.GET.get("q", "").strip()),
            "clear_url": edited(QueryDict(), view=request.GET.get("view")),
            "order": order,
            "order_links": self._order_links(request, order),
            "order_choices": [
                o for o in self.orders if o.name not in {c.order for c in self.columns}
            ],
            "opened": opened,
            "close_url": edited(request.GET, open=None),
            "has_panel": self.panel is not None,
            "panel": panel,
            "bulk": [b for b in self.bulk if allowed(actor, b.permission)],
            "may_work_next": bool(self.next_url_name) and allowed(actor, self.next_permission),
            "actions": self.actions(request) if self.actions else (),
            "export_url": (
                edited(request.GET, export="csv", cursor=None, open=None) if self.export else ""
            ),
            "saved_views": (
                SavedView.objects.visible_to(actor).filter(path=request.path)
                if actor and self.saved
                else None
            ),
            "kept": [
                (k, v)
                for k, values in request.GET.lists()
                for v in values
                if k in ("view", "order")
            ],
        }

    def _order_links(self, request: HttpRequest, order: Order) -> dict[str, dict[str, Any]]:
        return {
            o.name: {
                "url": edited(request.GET, order=o.name, cursor=None, open=None),
                "current": o is order,
                "label": o.label,
            }
            for o in self.orders
        }

    def _active(self, request: HttpRequest, filters: Any) -> list[dict[str, str]]:
        """Each filter in force, in words, with the URL that removes it."""
        if filters is None or not filters.is_valid():
            return []
        chips = []
        for name, bound in filters.form.fields.items():
            if name == "q" or name not in request.GET:
                continue
            values = [v for v in request.GET.getlist(name) if v]
            words = dict(
                (str(k), str(v))
                for k, v in getattr(bound, "choices", ())
                if not isinstance(v, list | tuple)
            )
            for value in values:
                rest = [v for v in values if v != value]
                chips.append(
                    {
                        "text": (
                            f"{bound.label or fmt.plural(1, name)[2:].capitalize()}:"
                            f" {words.get(value, value)}"
                        ),
                        "url": edited(request.GET, **{name: rest or None}, cursor=None, open=None),
                    }
                )
        return chips

    def _gone(self) -> SafeString:
        return format_html(
            '<p class="empty">This {} is no longer in your list. Choose another.</p>', self.noun[0]
        )

    # -- file -------------------------------------------------------------------------------------

    def _csv(self, request: HttpRequest, found: QuerySet[Any]) -> StreamingHttpResponse:
        if self.on_export is not None:
            self.on_export(request, found)
        kept = [c for c in self.columns if c.export]
        header: list[str] = []
        for column in kept:
            header.append(column.label)
            if column.second and column.export_second:
                header.append(column.export_second)

        keys = [keyset.Key.of(k).ordering() for k in self.order(request).keys]
        ordered = found.order_by(*keys)[: self.export_limit]

        def line(row: Any) -> Iterator[Any]:
            for column in kept:
                value = value_of(row, column.value)
                yield value[0] if isinstance(value, tuple) else value
                if column.second and column.export_second:
                    yield value_of(row, column.second)

        def rows() -> Iterator[list[Any]]:
            # the body is sent after the request's transaction has ended, so it opens the scope
            # again
            with scope(getattr(request, "actor", None)):
                for row in ordered.iterator(chunk_size=2000):
                    yield list(line(row))

        told = rows() if self.on_export else _logged(request, rows())
        return csv_response(self.name, header, told)


def _logged(request: HttpRequest, rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """The rows of a file; whose charts were in it is logged when it ends, or is broken off."""
    actor: Actor | None = getattr(request, "actor", None)
    with reading.reading() as charts:
        try:
            yield from rows
        finally:
            if actor is not None:
                with scope(actor):
                    reading.log_rest(
                        charts,
                        actor=actor,
                        purpose=f"export {request.path.strip('/').replace('/', ' ')}",
                        request_id=str(getattr(request, "request_id", "")),
                    )


def panel_html(request: HttpRequest, template: str, context: Mapping[str, Any]) -> str:
    """Render a panel template with the request's context; for `ListPage.panel`."""
    return render_to_string(template, dict(context), request=request)
