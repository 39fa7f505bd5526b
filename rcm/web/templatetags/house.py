"""`{% load house %}`: how money, dates, clocks, codes and icons are written on every page."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from rcm.web import format as fmt
from rcm.web import rulebook
from rcm.web.icons import PATHS

register = template.Library()

register.filter("money", fmt.money)
register.filter("percent", fmt.percent)
register.filter("number", fmt.number)
register.filter("mdy", fmt.mdy)
register.filter("born", fmt.born)
register.filter("day", fmt.short_day)
register.filter("clock", fmt.clock)
register.filter("moment", fmt.moment)
register.filter("masked", fmt.masked)
register.filter("phone", fmt.phone)


@register.filter
def rule(slug: str) -> SafeString:
    """`{{ edit.rule|rule }}`: the authority of a rule as a link to its page. Text that is no slug
    (stored by an older version) stands as it is.
    """
    found = rulebook.find(slug or "")
    if found is None:
        return format_html("{}", slug or "")
    return format_html(
        '<a class="rule" href="{}" title="{}">{}</a>',
        reverse("web:rule", args=[found.slug]),
        found.title,
        found.authority,
    )


@register.filter
def rule_title(slug: str) -> SafeString:
    """`{{ step.rule|rule_title }}`: where space is short, the rule's own words as the link."""
    found = rulebook.find(slug or "")
    if found is None:
        return format_html("{}", slug or "")
    return format_html(
        '<a class="rule" href="{}" title="{}">{}</a>',
        reverse("web:rule", args=[found.slug]),
        found.authority,
        found.title,
    )


@register.filter
def plain_words(code: str) -> str:
    """A name of ours as words: prior_auth is Prior auth; what is written in capitals stays."""
    words = code.replace("_", " ")
    return words if words.isupper() else words[:1].upper() + words[1:]


@register.filter
def dollars(value: Any) -> str:
    """Money without cents, for headlines: `$14,702`."""
    return fmt.money(value, cents=False)


@register.filter
def code(value: Any) -> SafeString:
    """An identifier or code in its own figures, never broken across lines: `{{ line.cpt|code
    }}`.
    """
    return (
        format_html('<span class="code">{}</span>', value)
        if value not in (None, "")
        else SafeString("")
    )


@register.filter
def iso(value: Any) -> str:
    """A date or time for `<time datetime>` and hidden fields."""
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else ""


@register.filter
def plural(count: int, words: str) -> str:
    """`{{ 2|plural:"claim,claims" }}` reads `2 claims`; one word gets an s."""
    one, _, many = words.partition(",")
    return fmt.plural(int(count or 0), one, many)


@register.filter
def json_attr(value: Any) -> str:
    """A value for `hx-vals` and `data-` attributes; the template escapes it."""
    return json.dumps(value, default=str)


@register.simple_tag
def form_key() -> SafeString:
    """`{% form_key %}` beside the CSRF token: the one-time key by which a form does its work
    once.
    """
    return format_html('<input type="hidden" name="form_key" value="{}">', uuid.uuid4())


@register.simple_tag
def icon(name: str, tone: str = "") -> SafeString:
    """`{% icon "check" %} Ready`: decoration beside a word, hidden from screen readers."""
    return format_html(
        '<svg class="icon{}" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path'
        ' d="{}"/></svg>',
        f" t-{tone}" if tone else "",
        PATHS[name],
    )


@register.simple_tag
def tag(text: Any, tone: str = "", title: str = "") -> SafeString:
    """`{% tag "Overdue" "bad" %}`: a word with a tone; the colour is never alone."""
    if text in (None, ""):
        return SafeString("")
    extra = format_html(' title="{}"', title) if title else ""
    return format_html(
        '<span class="tag{}"{}>{}</span>', f" tag--{tone}" if tone else "", extra, text
    )


@register.simple_tag
def days_left(
    deadline: Any, as_of: dt.date | None = None, bad: int = fmt.DAYS_BAD, warn: int = fmt.DAYS_WARN
) -> SafeString:
    """`{% days_left claim.deadline %}`: a tag such as `2 d` or `Overdue 3 d` in the tone of its
    nearness.
    """
    left = fmt.days_between(deadline, as_of)
    if left is None:
        return SafeString("")
    return tag(fmt.days_words(left), fmt.days_tone(left, bad, warn))


@register.simple_tag
def deadline(value: Any, as_of: dt.date | None = None) -> SafeString:
    """`{% deadline claim.deadline %}`: the date and its days-left tag, never truncated; on two
    lines where a year makes them long.
    """
    day = fmt.as_date(value)
    if day is None:
        return SafeString("")
    return format_html(
        '<span class="one"><time datetime="{}">{}</time> {}</span>',
        day.isoformat(),
        fmt.short_day(day, as_of),
        days_left(day, as_of),
    )


@register.simple_tag
def attrs(**pairs: Any) -> SafeString:
    """HTML attributes from keywords; `hx_get` becomes `hx-get`, empty ones are left out."""
    kept = (
        (k.rstrip("_").replace("_", "-"), v) for k, v in pairs.items() if v not in (None, "", False)
    )
    return format_html_join("", ' {}="{}"', kept)


@register.simple_tag(takes_context=True)
def csrf_headers(context: Any) -> str:
    """The header htmx sends with every request."""
    return json.dumps({"X-CSRFToken": str(context.get("csrf_token", ""))})


@register.simple_tag
def brand() -> SafeString:
    """The mark: beams that cross in one point."""
    return mark_safe(
        '<svg class="mark" viewBox="0 0 22 22" aria-hidden="true" focusable="false"><circle'
        ' class="ring" cx="11" cy="11" r="8.2"/><path class="beam" d="M11 .8v5.4M11 15.8v5.4M.8'
        ' 11h5.4M15.8 11h5.4"/><circle class="iso" cx="11" cy="11" r="2.3"/></svg>'
    )
