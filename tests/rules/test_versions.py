"""Versions are ordered as semver.org says."""

import itertools

import pytest

from ambientd.rules.versions import is_prerelease, line_fault, version_fault, version_order

IN_ORDER = [
    "0.0.9",
    "0.1.0",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.10.0",
    "2.0.0",
]


def test_the_order_is_that_of_the_specification() -> None:
    drawn = IN_ORDER[::2] + IN_ORDER[1::2]
    assert sorted(drawn, key=version_order) == IN_ORDER
    for low, high in itertools.pairwise(IN_ORDER):
        assert version_order(low) < version_order(high)


@pytest.mark.parametrize("text", [*IN_ORDER, "1.0.0-0a", "1.0.0--", "999999999.0.0"])
def test_versions_are_taken(text: str) -> None:
    assert version_fault(text) is None
    assert is_prerelease(text) == ("-" in text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "v1.0.0", "1.0.0-", "1.0.0-a..b", "1.0.0-00", "1.0.0+1", "1.0.0 ", "1.0.0\n",
     "１.0.0", "1000000000.0.0", "1.0.0-" + "a" * 27],
)  # fmt: skip
def test_other_texts_are_no_versions(text: str) -> None:
    assert "is no version" in (version_fault(text) or "")


def test_a_version_is_above_all_of_its_line_alone() -> None:
    known = ["1.4.1", "2.0.0", "1.4.0"]
    assert line_fault("1.4.2", known) is None
    assert line_fault("1.3.0", known) is None
    assert "1.4.1" in (line_fault("1.4.1", known) or "")
    assert "1.4.1" in (line_fault("1.4.0", known) or "")
