"""What is shipped for Prometheus and Grafana asks only for figures that exist, and every alert leads
to a part of the runbook.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families as families

from rcm.operations import beats, readiness
from rcm.operations.models import Backup

ROOT = Path(__file__).resolve().parents[2]
RULES = yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((ROOT / "deploy/grafana.json").read_text())["panels"]
QUESTIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
NAME = re.compile(r"\b(?:isocenter|django)_\w+")
STATES = re.compile(r'(\w+)\{state[=!]~?"([\w|]+)"')


def test_every_figure_that_is_asked_for_exists(cast, settings) -> None:
    settings.METRICS_TOKEN = "t" * 30
    door = {"Authorization": f"Bearer {settings.METRICS_TOKEN}"}
    Client().get("/healthz")
    beats.beat(readiness.who_beats())
    Backup.objects.create(at=timezone.now(), size=1, rows=1, seconds=1)
    found = list(families(Client().get("/metrics", headers=door).content.decode()))
    names = {sample.name for family in found for sample in family.samples}
    asked = {name for question in QUESTIONS for name in NAME.findall(question)}
    assert asked <= names
    states = {(s.name, s.labels["state"]) for f in found for s in f.samples if "state" in s.labels}
    named = {
        (name, state)
        for question in QUESTIONS
        for name, of in STATES.findall(question)
        for state in of.split("|")
    }
    assert named <= states


def test_every_alert_leads_to_a_part_of_the_runbook() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    parts = {"#" + re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
    assert {rule["annotations"]["runbook"] for rule in RULES} <= parts
    assert {rule["labels"]["severity"] for rule in RULES} == {"page", "ticket"}
