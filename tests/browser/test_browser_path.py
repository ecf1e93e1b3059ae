"""Which browser the tests of the dashboard open."""

from pathlib import Path

import pytest

from tests.browser.conftest import PROGRAMS, browser_path


def machine_with(folder: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be installed but programs of these names."""
    for name in names:
        (folder / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("AMBIENT_CHROMIUM", raising=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_chromium_is_found_by_whatever_name_a_machine_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, (name,), monkeypatch)
    assert browser_path() == str(tmp_path / name)
    monkeypatch.setenv("AMBIENT_CHROMIUM", "/opt/mine")
    assert browser_path() == "/opt/mine"


def test_a_browser_goes_before_what_may_be_but_a_word_on_snaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, ("chromium-browser", "google-chrome"), monkeypatch)
    assert browser_path() == str(tmp_path / "google-chrome")


def test_a_machine_without_a_browser_fails_the_tests_and_says_how_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(tmp_path, (), monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="name it in AMBIENT_CHROMIUM"):
        browser_path()
