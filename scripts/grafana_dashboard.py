"""Write deploy/grafana/ambient.json: `python -m scripts.grafana_dashboard`."""

import json
from pathlib import Path
from typing import Any

from ambientd.api.rest.metrics import _GAUGES

FILE = Path(__file__).parents[1] / "deploy" / "grafana" / "ambient.json"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
PANELS: tuple[tuple[str, str, str, str], ...] = (
    ("Nodes that answer", 'up{job="ambient"}', "{{instance}}", "none"),
    ("Blocks a second", "rate(ambient_committed_height[1m])", "{{instance}}", "ops"),
    ("Term", "ambient_term", "{{instance}}", "none"),
    ("Tasks by state", "max by (state) (ambient_tasks)", "{{state}}", "none"),
    (
        "Tasks ended a second",
        'max(rate(ambient_events_total{kind="task_ended"}[1m]))',
        "ended",
        "ops",
    ),
    (
        "Receipts not anchored",
        "ambient_receipts - ambient_receipts_anchored",
        "{{instance}}",
        "none",
    ),
    ("Health", "ambient_health_percent", "{{instance}}", "percent"),
    ("Peers", "ambient_peers", "{{instance}}", "none"),
    ("Troubles and safe mode", "ambient_troubles + ambient_safe_mode", "{{instance}}", "none"),
    (
        "HTTP: operations a second",
        "sum by (operation) (rate(ambient_http_seconds_count[1m]))",
        "{{operation}}",
        "ops",
    ),
    (
        "HTTP: 99th percentile",
        "histogram_quantile(0.99, sum by (le) (rate(ambient_http_seconds_bucket[5m])))",
        "p99",
        "s",
    ),
    ("Studies by state", "max by (state) (ambient_studies)", "{{state}}", "none"),
    (
        "Rounds of studies, by what they wait for",
        "max by (state) (ambient_study_rounds)",
        "{{state}}",
        "none",
    ),
    (
        "Studies: fell out of the last round",
        "max by (study) (ambient_study_fell_out) / max by (study) (ambient_study_participants)",
        "{{study}}",
        "percentunit",
    ),
    (
        "Private studies: epsilon spent",
        "ambient_study_epsilon",
        "{{instance}} {{study}}",
        "none",
    ),
    ("Memory", "process_resident_memory_bytes", "{{instance}}", "bytes"),
)


def dashboard() -> dict[str, Any]:
    """Give the dashboard as Grafana imports it."""
    return {
        "title": "Ambient",
        "uid": "ambient",
        "schemaVersion": 39,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "10s",
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "source"}
            ]
        },
        "panels": [_panel(place, *panel) for place, panel in enumerate(PANELS)],
    }


def _panel(place: int, title: str, query: str, legend: str, unit: str) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS)
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": query, "legendFormat": legend}],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=1) + "\n", encoding="utf-8")
    print(f"wrote {FILE.name}, of {len(PANELS)} panels and {len(_GAUGES)} gauges")
