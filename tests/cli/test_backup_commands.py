"""What `backup verify` and `restore` end with tells a script whether a copy is good."""

import re
import sys
from pathlib import Path

import pytest
import trio

from ambientd.adapters.copy_folder import CopyFolder
from ambientd.api.genesis_files import write_genesis
from ambientd.cli.main import main
from ambientd.codec.statements import fingerprint
from ambientd.config.places import Places
from ambientd.runtime.backup import write_backup
from ambientd.runtime.store_writer import StoreWriter
from tests.cli.conftest import Ctl
from tests.cli.test_live import Screen
from tests.node.cluster import Cluster


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the genesis of a cluster that has finished a task, and a copy of its log."""
    folder = tmp_path_factory.mktemp("made")
    cluster = Cluster()
    cluster.until_closed(cluster.submit())

    async def write() -> None:
        async with StoreWriter(cluster.hosts[0].store) as writer:
            await write_backup(writer, fingerprint(cluster.genesis), CopyFolder(folder), "whole")

    trio.run(write)
    write_genesis(Places(folder), cluster.genesis)
    return folder


def test_a_whole_copy_is_told_with_its_height(ctl: Ctl, made: Path) -> None:
    code, out, _ = ctl("--data-dir", made, "backup", "verify", made / "whole")
    assert (code, ": whole, block " in out) == (0, True)


@pytest.mark.parametrize("hurt", ["changed", "cut off", "longer", "none", "empty"])
def test_a_copy_that_does_not_hold_is_no_wrong_usage(
    ctl: Ctl, made: Path, tmp_path: Path, hurt: str
) -> None:
    data = (made / "whole").read_bytes()
    middle = len(data) // 2
    (tmp_path / "copy").write_bytes(
        {
            "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "cut off": data[:middle],
            "longer": data + b"x",
            "none": b"no backup at all, but as long as the beginning of one would be",
            "empty": b"",
        }[hurt]
    )
    code, out, err = ctl("--data-dir", made, "backup", "verify", tmp_path / "copy")
    assert (code, out, err.count("\n")) == (4, "", 1)


def test_a_copy_that_cannot_be_read_is_wrong_usage(ctl: Ctl, made: Path) -> None:
    assert ctl("--data-dir", made, "backup", "verify", made / "lost")[0] == 2
    assert ctl("--data-dir", made, "backup", "verify", made)[0] == 2


def test_a_copy_sealed_to_another_key_does_not_hold(ctl: Ctl, made: Path, tmp_path: Path) -> None:
    from ambientd.adapters.age_files import create_identity, recipients_of, seal

    public = create_identity(tmp_path / "mine")
    create_identity(tmp_path / "other")
    with (made / "whole").open("rb") as clear, (tmp_path / "sealed").open("wb") as sealed:
        seal(clear, sealed, recipients_of((public,)))
    verify = ("--data-dir", made, "backup", "verify", tmp_path / "sealed")
    assert ctl(*verify, "--identity", tmp_path / "mine")[0] == 0
    assert ctl(*verify, "--identity", tmp_path / "other")[0] == 4
    assert ctl(*verify)[0] == 2


def test_a_check_at_a_terminal_is_a_bar_of_rows(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", screen)
    assert main(["--data-dir", str(made), "backup", "verify", str(made / "whole")]) == 0
    found = re.findall(r"(\d+) of (\d+) rows", screen.getvalue())
    assert found[-1][0] == found[-1][1]
    assert ": whole, block " in capsys.readouterr().out
