"""docs/observability.md says what a node tells and which alerts there are, and nothing else."""

import re

from ambientd.api.rest.metrics import Metrics, described
from scripts.observability_page import ALERTS, PAGE, page

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_that_the_script_writes() -> None:
    assert page(TEXT) == TEXT, "python -m scripts.observability_page"


def test_every_metric_that_a_node_tells_is_described_once_and_no_other() -> None:
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics({})._registry.collect()
        if not family.name.startswith("process_")
    }
    names = [each.name for each in described()]
    assert sorted(names) == sorted(told)
    assert re.findall(r"^\| `(ambient_\w+)`", TEXT, re.MULTILINE) == names


def test_every_alert_is_described_with_what_to_do() -> None:
    rules = ALERTS.read_text(encoding="utf-8")
    named = re.findall(r"alert: (\w+)", rules)
    rows = re.findall(
        r"^\| `(Ambient\w+)` \| (?:critical|warning).* \| .+ \| .+ \|$", TEXT, re.MULTILINE
    )
    assert rows == named
    assert "{{" not in TEXT.split("## Alerts")[1].split("## Webhooks")[0]
    assert len(named) >= 13
