"""Which engines there are, and what is said where one is missing."""

import tomllib
from pathlib import Path

import pytest

from ambientd.adapters.engines import ENGINE_NAMES, NATIVE_VERSION, installed, open_engine
from ambientd.errors import ConfigError
from tests.engines import engines


def test_every_installed_engine_opens_under_its_name() -> None:
    assert [open_engine(name).name for name in installed()] == list(installed())


def test_wasmtime_is_always_there_and_first() -> None:
    assert installed()[0] == "wasmtime"
    assert set(installed()) <= set(ENGINE_NAMES)


def test_every_engine_tells_its_version() -> None:
    for name in installed():
        assert open_engine(name).version.partition("+")[0].count(".") == 2


def test_an_unknown_engine_is_refused_with_the_names_of_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'v8'.*wasmtime, wasmer, wasmi"):
        open_engine("v8")


def test_a_missing_engine_is_refused_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambientd.adapters.engines.installed_version", lambda _: None)
    assert installed() == ("wasmtime",)
    with pytest.raises(ConfigError, match=r"wasmi is not installed.*make engines"):
        open_engine("wasmi")


def test_a_build_of_another_version_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambientd.adapters.engines.installed_version", lambda _: "0.1.0")
    assert installed() == ("wasmtime",)
    with pytest.raises(ConfigError, match=r"wasmer is installed in version 0.1.0.*make engines"):
        open_engine("wasmer")


def test_the_version_that_is_asked_for_is_the_one_that_is_built_here() -> None:
    built = tomllib.loads(Path("native/engines/pyproject.toml").read_text("utf-8"))
    assert built["project"]["version"] == NATIVE_VERSION


def test_an_engine_that_must_be_there_is_tested_even_if_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ambientd.adapters.engines.installed_version", lambda _: None)
    monkeypatch.delenv("AMBIENT_ENGINES", raising=False)
    assert engines() == ["wasmtime"]
    monkeypatch.setenv("AMBIENT_ENGINES", "wasmi, wasmtime")
    assert engines() == ["wasmtime", "wasmi"]
    monkeypatch.setenv("AMBIENT_ENGINES", "wasm3")
    with pytest.raises(ValueError, match="wasm3"):
        engines()
