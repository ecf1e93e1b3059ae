"""Packages are the same bytes again: what differs between two builds is named."""

from pathlib import Path

import pytest

from scripts.packages import differing


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one", "other"):
        (tmp_path / name / "assets").mkdir(parents=True)
        (tmp_path / name / "index.html").write_text("page")
        (tmp_path / name / "assets" / "a.js").write_text("script")
    return tmp_path / "one", tmp_path / "other"


def test_two_builds_of_the_same_bytes_differ_in_nothing(built: tuple[Path, Path]) -> None:
    assert differing(*built) == []


def test_a_page_that_differs_or_that_one_build_lacks_is_named(built: tuple[Path, Path]) -> None:
    one, other = built
    (other / "assets" / "a.js").write_text("another")
    (one / "only.html").touch()
    (other / "assets" / "b.js").touch()
    named = ["assets/a.js", "assets/b.js", "only.html"]
    assert differing(one, other) == differing(other, one) == named
