"""What an operator sees of config.toml, without a daemon."""

from pathlib import Path

import msgspec
import pytest

from ambientd.config.options import Config
from ambientd.config.template import render_config
from tests.cli.conftest import Ctl


def test_every_setting_is_shown_with_its_value_and_source(ctl: Ctl, data_dir: Path) -> None:
    (data_dir / "config.toml").write_text('[node]\n# who\nname = "attic"\n')
    shown = msgspec.json.decode(ctl("config", "show", "--json")[1])
    settings = {(each["section"], each["key"]): each for each in shown["settings"]}
    for section in msgspec.structs.fields(Config):
        for option in msgspec.structs.fields(section.type):
            assert (section.name, option.name) in settings
    name, region = settings["node", "name"], settings["node", "region"]
    assert (name["value"], name["source"], name["line"], name["default"]) == (
        *("attic", "file", 3),
        "node",
    )
    assert (region["value"], region["source"], region["line"]) == ("local", "default", None)
    assert shown["data_dir"] == {
        "path": str(data_dir),
        "source": "environment AMBIENT_DATA_DIR",
    }
    assert shown["socket"] == str(data_dir / "ambientd.sock")


def test_one_section_is_shown_alone(ctl: Ctl, data_dir: Path) -> None:
    (data_dir / "config.toml").write_text(render_config({"node": {"name": "attic"}}))
    code, out, _ = ctl("config", "show", "node")
    assert code == 0
    assert "[node] name" in out
    assert '"attic"' in out
    assert "[http]" not in out
    assert ctl("config", "show", "nod")[0] == 2


def test_the_source_of_the_folder_is_told(
    ctl: Ctl, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data_dir / "config.toml").touch()
    assert "environment AMBIENT_DATA_DIR" in ctl("config", "show")[1]
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").touch()
    assert f"{other}  (flag --data-dir)" in ctl("config", "show", "--data-dir", other)[1]
    monkeypatch.delenv("AMBIENT_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "ambient").mkdir()
    (tmp_path / "ambient" / "config.toml").touch()
    assert "environment XDG_DATA_HOME" in ctl("config", "show")[1]
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ctl("config", "show")[2].startswith(f"ambientctl: {tmp_path}/.local/share/ambient/")


def test_all_faults_are_told_a_line_each(ctl: Ctl, tmp_path: Path) -> None:
    draft = tmp_path / "draft.toml"
    draft.write_text('[node]\nnmae = "x"\nworkers = 2\n')
    code, out, _ = ctl("config", "check", draft)
    assert code == 2
    assert out.splitlines() == [
        f"{draft}, line 2: [node] nmae: unknown key 'nmae'; did you mean 'name'?",
        f"{draft}, line 3: [node] workers: unknown key 'workers'; "
        "did you mean 'workers' of [execution]?",
    ]
    told = msgspec.json.decode(ctl("config", "check", draft, "--json")[1])
    assert (told["sound"], [each["line"] for each in told["faults"]]) == (False, [2, 3])
    draft.write_text("[node]\n")
    assert ctl("config", "check", draft) == (0, f"{draft} is sound\n", "")


def test_the_nodes_own_config_is_checked_where_no_file_is_named(ctl: Ctl, data_dir: Path) -> None:
    config = data_dir / "config.toml"
    config.write_text(f'[api]\nsocket = "{"x" * 200}"')
    code, out, _ = ctl("config", "check")
    assert code == 2
    assert out.startswith(f"{config}, line 2: [api] socket: ")
    config.write_text("[node]\nname = a\n[htpt]\n")
    code, _, err = ctl("config", "show")
    assert code == 2
    assert "line 2: not valid TOML: a text stands in quotes" in err


def test_what_show_refuses_counts_the_other_faults(ctl: Ctl, data_dir: Path) -> None:
    (data_dir / "config.toml").write_text("[nod]\n[htpt]\n[stroe]\n")
    assert "and 2 more faults; see all with `ambientctl config check`" in ctl("config", "show")[2]
