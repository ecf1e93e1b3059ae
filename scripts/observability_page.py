"""Writes the tables of docs/observability.md: `python -m scripts.observability_page`.

Metrics come from the code that tells them, alerts from the rules that are shipped.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ambientd.api.rest.metrics import described

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "observability.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
_METRICS_HEAD = "| metric | labels | says |\n|---|---|---|\n"
_ALERTS_HEAD = "| alert | severity | says | what to do |\n|---|---|---|---|\n"
_FIELD = re.compile(r"^ +(?:- )?(alert|for|labels|summary|action): (.+)$", re.MULTILINE)
_SEVERITY = re.compile(r"severity: (\w+)")
_PLACES = (
    ("{{ $labels.instance }}", "a node"),
    ("{{ $labels.study }}", "STUDY"),
    ("{{ $value }} ", ""),
)


def metrics() -> str:
    """Give the table of metrics."""
    rows = (
        f"| `{each.name}` | {', '.join(f'`{label}`' for label in each.labels)} | {each.text} |\n"
        for each in described()
    )
    return _METRICS_HEAD + "".join(rows)


def alerts() -> str:
    """Give the table of alerts."""
    return _ALERTS_HEAD + "".join(_alert_rows(ALERTS.read_text(encoding="utf-8")))


def _alert_rows(rules: str) -> Iterator[str]:
    for rule in re.split(r"(?=^ +- alert: )", rules, flags=re.MULTILINE)[1:]:
        fields = dict(_FIELD.findall(rule))
        found = _SEVERITY.search(fields["labels"])
        assert found is not None, fields["alert"]
        late = f", after {fields['for']}" if "for" in fields else ""
        says, todo = (_plain(fields[name]) for name in ("summary", "action"))
        yield f"| `{fields['alert']}` | {found[1]}{late} | {says} | {todo} |\n"


def _plain(text: str) -> str:
    for place, words in _PLACES:
        text = text.replace(place, words)
    return text.strip('"')


def page(text: str) -> str:
    """Put the tables where the page has them."""
    for head, table in ((_METRICS_HEAD, metrics()), (_ALERTS_HEAD, alerts())):
        before, _, after = text.partition(head)
        text = before + table + re.sub(r"\A(?:\|.*\n)*", "", after)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
