"""The version of a package is read off the folder that its installer left."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ambientd.adapters.packages import installed_version


@pytest.mark.parametrize("package", ["wasmtime", "msgspec", "pytest"])
def test_it_is_the_one_that_the_standard_library_reads(package: str) -> None:
    assert installed_version(package) == version(package)


def test_the_first_on_the_path_counts_and_what_is_no_package_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name in (
        (first, "some_thing_else-9.dist-info"),
        (first, "some_thing-1.2.3.dist-info"),
        (first, "some_thing-4.egg-info"),
        (second, "some_thing-5.6.7.dist-info"),
    ):
        (folder / name).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(first), str(second)])
    assert installed_version("some-thing") == "1.2.3"
    assert installed_version("another") is None
