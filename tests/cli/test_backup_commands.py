"""What `backup verify` and `restore` end with tells a script whether a copy is good."""

import re
import shutil
import subprocess
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
from tests.runtime.support import found_cluster


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


def lone(made: Path, folder: Path) -> Path:
    """Make the folder of a founder of the cluster that has no store and never voted."""
    found_cluster(folder / "c")
    node = folder / "c" / "node1"
    for place in (Places(node).genesis, Places(node).genesis_json):
        shutil.copy(Places(made).data_dir / place.name, place)
    return node


@pytest.mark.parametrize("fault", ["another cluster", "a flipped bit", "a height it has not"])
def test_a_copy_that_is_refused_leaves_the_key_its_vote(
    ctl: Ctl, made: Path, tmp_path: Path, fault: str
) -> None:
    folder, copy = lone(made, tmp_path), tmp_path / "copy"
    data = bytearray((made / "whole").read_bytes())
    if fault == "a flipped bit":
        data[-9] ^= 1
    copy.write_bytes(data)
    if fault == "another cluster":
        found_cluster(tmp_path / "other")
        folder = tmp_path / "other" / "node1"
    before = {path.name for path in folder.iterdir()}
    height = ("--height", "999999") if fault == "a height it has not" else ()
    code, out, err = ctl("--data-dir", folder, "restore", copy, *height)
    assert (code, out) in ((2, ""), (4, "")), err
    assert {path.name for path in folder.iterdir()} - before == {"lock"}


def test_a_restored_store_bears_its_name_only_when_the_key_is_marked(
    made: Path, tmp_path: Path
) -> None:
    folder = lone(made, tmp_path)
    killed = (
        "import os, sys\n"
        "from ambientd.cli.main import main\n"
        "sys.addaudithook(lambda event, _: event == 'os.rename' and os._exit(9))\n"
        "main(sys.argv[1:])\n"
    )
    words = ("--data-dir", str(folder), "restore", str(made / "whole"))
    done = subprocess.run([sys.executable, "-c", killed, *words], timeout=60, check=False)
    assert done.returncode == 9, "it was killed at the rename"
    assert Places(folder).voted_mark.exists()
    assert not (folder / "node.db").exists()
    assert main([*words]) == 0
    assert (folder / "node.db").exists()


def test_who_restores_without_the_embedded_chain_is_told_before_another_begins(
    ctl: Ctl, made: Path, tmp_path: Path
) -> None:
    folder = lone(made, tmp_path)
    elsewhere = tmp_path / "elsewhere" / "node1"
    shutil.copytree(folder, elsewhere)
    for node, has_chain in ((folder, True), (elsewhere, False)):
        text = '[bitcoin]\nchain = "embedded"\nembedded_dir = "../chain"\n'
        Places(node).config.write_text(text)
        if has_chain:
            (node.parent / "chain" / "kernel").mkdir(parents=True)
        code, _, err = ctl("--data-dir", node, "restore", made / "whole")
        told = f"no embedded chain is in {node.parent / 'chain'}, and another would begin there"
        assert (code, told in err) == (0, not has_chain), err
        doctor = ctl("--data-dir", node, "doctor")[1]
        assert (told in doctor) is not has_chain, doctor
