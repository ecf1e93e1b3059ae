"""What is shipped for Prometheus and Grafana speaks of metrics that a node really has."""

import json
import re
from pathlib import Path

import pytest

from ambientd.api.replies import EventKind
from ambientd.api.rest.metrics import described
from ambientd.model.learning import RoundState, StudyState
from ambientd.model.task import TaskState
from scripts.grafana_dashboard import FILE, dashboard

DEPLOY = Path(__file__).parents[2] / "deploy"
KNOWN = {each.name for each in described()} | {
    "ambient_http_seconds_bucket",
    "ambient_http_seconds_count",
}
SHIPPED = ("prometheus/alerts.yml", "prometheus/alerts_test.yml", "grafana/ambient.json")


@pytest.mark.parametrize("path", SHIPPED)
def test_every_metric_that_is_asked_for_is_one_that_a_node_has(path: str) -> None:
    text = (DEPLOY / path).read_text(encoding="utf-8")
    asked = set(re.findall(r"\bambient_[a-z_]+\b", text))
    assert asked
    assert asked <= KNOWN
    kinds = set(re.findall(r'kind=\\?"([a-z_]+)', text))
    assert kinds <= {kind.value for kind in EventKind}
    states = set(re.findall(r'state=\\?"([a-z_]+)', text))
    named = (*TaskState, *StudyState, *RoundState)
    assert states <= {state.name.lower() for state in named}


def test_the_dashboard_is_the_one_its_script_writes() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == dashboard()


def test_every_alert_is_tested() -> None:
    rules = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    tests = (DEPLOY / "prometheus/alerts_test.yml").read_text(encoding="utf-8")
    named = re.findall(r"alert: (\w+)", rules)
    assert len(named) == 14
    assert set(named) == set(re.findall(r"alertname: (\w+)", tests))


def test_what_scrapes_calls_the_job_as_the_alerts_do() -> None:
    rules = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    asked = set(re.findall(r'\bjob="([^"]*)"', rules))
    assert asked == {"ambient"}
    for path in ("prometheus/prometheus.yml", "compose/prometheus.yml"):
        text = (DEPLOY / path).read_text(encoding="utf-8")
        assert set(re.findall(r"job_name: (\S+)", text)) == asked, path
    monitor = (DEPLOY / "chart/templates/monitor.yaml").read_text(encoding="utf-8")
    named = re.findall(r"relabelings: \[\{ targetLabel: job, replacement: (\w+) \}\]", monitor)
    assert set(named) == asked
    assert monitor.count("- port: http") == len(named) == 1
