"""The dashboard speaks to the daemon by the table of operations as it is now."""

from scripts.dashboard_table import FILE, table


def test_the_dashboard_has_the_present_table() -> None:
    message = "write it anew: python -m scripts.dashboard_table"
    assert FILE.read_text(encoding="utf-8") == table(), message
