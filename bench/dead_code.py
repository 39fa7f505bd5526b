"""Code that nobody calls: `python bench/dead_code.py`, a part of `make check`.

Vulture reads the product (not its tests: what only a test calls is dead too). A name that a
template, a text of the settings or a framework uses counts as used.
"""

from __future__ import annotations

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

from vulture import Vulture
from vulture.core import Item

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("rcm", "intake", "authorizations", "charges", "claims", "remittance", "ar", "bench")
KINDS = {"function", "class", "method", "property", "import"}
ONLY_TESTED = {
    "anti_markup_applies",
    "contract_of_terms",
    "decision_rule_for",
    "default_rules",
    "from_dataset",
    "holidays_known_until",
    "is_null",
    "match_many",
    "require_lease",
}
"""Called by their tests alone. The list only shrinks: wire them up or delete them."""
FRAMEWORKS = (
    "loaders",  # imported so that they register themselves
    # Django: applications, models, forms, admin commands, middleware, settings by name
    *("*Config", "ready", "add_arguments", "handle", "clean*", "label_from_instance", "save"),
    *("*Middleware", "process_*", "Meta", "Command", "create_superuser", "get_full_name"),
    *(
        "as_sql",
        "prepare_value",
        "has_changed",
        "from_db_value",
        "deconstruct",
        "db_type",
        "get_prep_value",
        "render",
        "save_form",
    ),
    # REST framework, its filters and its schema
    *("get_*", "validate_*", "retrieve", "list", "create", "perform_*", "has_permission"),
    *("authenticate_header", "authenticate", "*Scheme", "encode_cursor", "decode_cursor"),
    # allauth and oauth toolkit call their adapters and validators
    *("*Adapter", "is_open_for_signup", "populate_*", "*Validator", "*Scopes"),
    *("pre_authenticate", "authentication_failed", "_rollback_login_failed_rl_usage"),
    # listeners and loops of the standard library and of others' libraries
    *("do_GET", "do_POST", "log_message", "visit_*", "emit", "filter", "*Filter"),
    *("handle_*", "readinto", "connect_unix_socket", "_system_print"),
)


def unused() -> list[Item]:
    """What nothing uses, by place. Only definitions and imports, for fields are used by name."""
    scan = Vulture(ignore_decorators=["@*"])
    scan.scavenge([str(ROOT / place) for place in PLACES], exclude=["*/migrations/*"])
    words = _words()
    return [
        item
        for item in scan.get_unused_code(sort_by_size=False)
        if item.typ in KINDS
        and item.name not in words
        and not any(fnmatch(item.name, pattern) for pattern in FRAMEWORKS)
    ]


def _words() -> set[str]:
    """Names that templates, settings and quoted texts use: `rcm.accounts.rest.StrictJSONParser`."""
    found: set[str] = set()
    for path in (ROOT / "templates").rglob("*.html"):
        found |= set(re.findall(r"\w+", path.read_text("utf-8")))
    for place in PLACES:
        for path in (ROOT / place).rglob("*.py"):
            if path == Path(__file__).resolve():
                continue
            for text in re.findall(r"[\"']([\w.]+)[\"']", path.read_text("utf-8")):
                found.add(text.rpartition(".")[2])
    return found


def main() -> int:
    items = unused()
    fresh = [item for item in items if item.name not in ONLY_TESTED]
    for item in fresh:
        place = Path(item.filename).relative_to(ROOT)
        print(f"{place}:{item.first_lineno}: nobody uses {item.typ} {item.name}")
    used_again = ONLY_TESTED - {item.name for item in items}
    for name in sorted(used_again):
        print(f"{name} is used or gone: take it off the list of ONLY_TESTED")
    return 1 if fresh else 0


if __name__ == "__main__":
    sys.exit(main())
