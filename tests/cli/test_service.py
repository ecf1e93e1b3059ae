"""The service: what is written is what systemd reads, and removing leaves nothing of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ambientd.cli.service_commands import DATA, FILES, UNIT
from tests.cli.conftest import Ctl
from tests.missing import missing


def files_below(folder: Path) -> list[str]:
    """Name every file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


def test_what_is_installed_is_what_is_removed(ctl: Ctl, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hostname").write_text("here")
    code, out, err = ctl("service", "install", "--root", root)
    assert (code, out.count("written: ")) == (0, len(FILES))
    assert f"systemctl --root={root} enable ambientd.service" in err
    assert "--now" not in err, "nothing of this machine is meant"
    assert files_below(root) == sorted(["etc/hostname", *(place for _, place in FILES)])
    code, out, err = ctl("service", "uninstall", "--root", root)
    assert (code, out.count("removed: ")) == (0, len(FILES))
    assert err == "", "no node's folder was there, and this machine's is not meant"
    assert [path.name for path in (root / "etc").iterdir()] == ["hostname"]


def test_what_stays_below_a_root_is_named_there_and_no_user_of_this_machine(
    ctl: Ctl, tmp_path: Path
) -> None:
    root = tmp_path / "an image"
    (root / "var/lib/ambient").mkdir(parents=True)
    ctl("service", "install", "--root", root)
    err = ctl("service", "uninstall", "--root", root)[2]
    assert f"rm -r '{root}/var/lib/ambient'" in err
    assert "userdel" not in err
    assert [path.name for path in root.iterdir()] == ["var"]


def test_a_root_that_is_not_there_is_refused_and_not_made(ctl: Ctl, tmp_path: Path) -> None:
    for word in ("install", "uninstall"):
        code, out, err = ctl("service", word, "--root", tmp_path / "nosuch")
        assert (code, out, "there is no such folder" in err) == (2, "", True)
    assert not (tmp_path / "nosuch").exists()


@pytest.mark.parametrize(
    ("folder", "is_seen"),
    [("/root", False), ("/tmp", False), ("/opt/ambient", True)],
)
def test_a_daemon_that_the_service_cannot_see_is_told_for_an_image_too(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_seen: bool
) -> None:
    python = f"{folder}/venv/bin/python3"
    monkeypatch.setattr(sys, "executable", python)
    code, _, err = ctl("service", "install", "--root", tmp_path)
    assert code == 0
    assert (f"{Path(python).parent}/ambientd: the service sees no home folders" in err) != is_seen


def test_where_nothing_was_installed_that_is_said(ctl: Ctl, tmp_path: Path) -> None:
    code, out, err = ctl("service", "uninstall", "--root", tmp_path)
    assert (code, out) == (0, "")
    assert err == f"nothing was installed below {tmp_path}, and nothing was removed\n"


def test_programs_are_told_what_was_written_and_removed(ctl: Ctl, tmp_path: Path) -> None:
    places = [str(tmp_path / place) for _, place in FILES]
    out = ctl("service", "install", "--root", tmp_path, "--json")[1]
    assert msgspec.json.decode(out) == {"written": places}
    out = ctl("service", "uninstall", "--root", tmp_path, "--json")[1]
    assert msgspec.json.decode(out) == {"removed": places}
    out = ctl("service", "uninstall", "--root", tmp_path, "--json")[1]
    assert msgspec.json.decode(out) == {"removed": []}


def test_the_unit_starts_the_daemon_that_belongs_to_this_program(ctl: Ctl, tmp_path: Path) -> None:
    ctl("service", "install", "--root", tmp_path)
    unit = (tmp_path / "etc/systemd/system" / UNIT).read_text()
    daemon = Path(sys.executable).parent / "ambientd"
    assert f"\nExecStart={daemon} --data-dir /var/lib/ambient\n" in unit
    assert "@" not in unit.replace("@system-service", "")


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        missing("systemd-analyze is missing; Debian has it in the package systemd")
    unit = tmp_path / UNIT
    unit.write_text((DATA / UNIT).read_text().replace("@AMBIENTD@", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    words = [analyze, "security", "--offline=yes", "--threshold=20", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_an_empty_root_is_not_the_folder_one_happens_to_be_in(
    ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("install", "uninstall"):
        code, out, err = ctl("service", word, "--root", "")
        assert (code, out, "--root is empty" in err) == (2, "", True)
    assert files_below(tmp_path / "etc") == []
