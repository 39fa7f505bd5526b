"""The match from the command line: the same answer as the API."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def question(day: str) -> dict:
    return {
        "ordered": {"code": "70551"},
        "authorized": {
            "status": "approved",
            "number": "A1",
            "services": [{"code": "70551", "units": 1}],
            "effective_from": "2026-09-01",
            "effective_to": "2026-09-30",
            "site_npi": "1993999998",
        },
        "performed": {"code": "70551", "service_date": day, "site_npi": "1993999998"},
        "requirement": "required",
    }


def ask(tmp_path, body) -> tuple[str, int]:
    file = tmp_path / "question.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    out = StringIO()
    try:
        call_command("match", str(file), "--json", stdout=out)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def test_the_last_day_passes_and_the_day_after_is_expired(tmp_path):
    answer, code = ask(tmp_path, question("2026-09-30"))
    assert (json.loads(answer)["code"], code) == ("OK", 0)
    answer, code = ask(tmp_path, question("2026-10-01"))
    assert (json.loads(answer)["code"], code) == ("AUTH_EXPIRED", 1)


def test_what_is_no_question_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(CommandError, match="not JSON"):
        ask(tmp_path, "hello")
