"""The commands about a node's keys, on folders without a daemon."""

import io
import json
from pathlib import Path

import pytest
from embit.descriptor import Descriptor
from embit.networks import NETWORKS

from ambientd.adapters import passphrases
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.keys import create_key, is_sealed, load_key
from ambientd.adapters.passphrases import VARIABLE
from ambientd.adapters.peg_keys import PEG_KEY, open_signing
from ambientd.api.cluster import ClusterPlan, create_cluster
from tests.cli.conftest import Ctl


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A member's folder, where nobody sits at a terminal."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.delenv(VARIABLE, raising=False)
    create_cluster(tmp_path / "c", 1, ClusterPlan(peg=True))
    found = tmp_path / "c" / "node1"
    open_signing(found / "peg.key", found / "peg.book", is_said=False)
    return found


def words(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return path


def test_what_a_node_signs_with_is_shown_without_its_secrets(folder: Path, ctl: Ctl) -> None:
    code, out, err = ctl("key", "show", "--data-dir", folder)
    assert code == 0
    assert "not sealed  node.key, peg.key" in out
    assert "never a copy of peg.book" in err
    found = json.loads(ctl("key", "show", "--data-dir", folder, "--json")[1])
    theirs = Descriptor.from_string(found["anchor_descriptor"])
    assert theirs.derive(0).address(NETWORKS["regtest"]) == found["anchor_address"]
    assert found["anchor_address"] in out
    assert found["peg_key"].startswith("tpub")
    for secret in (load_key(folder / "node.key"), load_key(folder / "peg.key", kind=PEG_KEY)):
        assert secret.hex() not in out


@pytest.mark.slow
def test_one_passphrase_seals_both_and_is_changed_and_removed(
    folder: Path, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = load_key(folder / "node.key"), load_key(folder / "peg.key", kind=PEG_KEY)
    first, second = words(folder, "first", "correct horse"), words(folder, "second", "battery")
    passphrase = ("key", "passphrase", "--data-dir", folder)
    code, out, _ = ctl(*passphrase, "--new-file", first)
    assert (code, out) == (0, "node.key, peg.key: sealed with the new passphrase\n")
    assert load_key(folder / "node.key", "correct horse") == seeds[0]
    assert load_key(folder / "peg.key", "correct horse", PEG_KEY) == seeds[1]
    code, _, err = ctl(*passphrase, "--new-file", second)
    assert (code, "is sealed: give its passphrase with" in err) == (2, True)
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert ctl(*passphrase, "--new-file", second)[0] == 0
    code, out, _ = ctl("key", "show", "--data-dir", folder, "--passphrase-file", second)
    assert (code, "sealed      node.key, peg.key" in out) == (0, True)
    answer = ctl(*passphrase, "--remove", "--passphrase-file", second, "--json")[1]
    assert json.loads(answer) == {"files": ["node.key", "peg.key"], "sealed": False}
    assert load_key(folder / "node.key") == seeds[0]


@pytest.mark.slow
def test_a_change_that_was_interrupted_is_finished(folder: Path, ctl: Ctl) -> None:
    (folder / "peg.key").unlink()
    create_key(folder / "peg.key", "battery", PEG_KEY)
    second = words(folder, "second", "battery")
    code, _, _ = ctl(
        *("key", "passphrase", "--data-dir", folder),
        *("--passphrase-file", second, "--new-file", second),
    )
    assert code == 0
    load_key(folder / "node.key", "battery")


def test_no_new_passphrase_is_made_up_where_nobody_can_be_asked(folder: Path, ctl: Ctl) -> None:
    code, _, err = ctl("key", "passphrase", "--data-dir", folder)
    assert (code, "give the new passphrase with --new-file" in err) == (2, True)


def test_nothing_is_changed_beside_a_running_daemon(folder: Path, ctl: Ctl) -> None:
    with DataDir(folder):
        for command in ("passphrase", "--remove"), ("replace-peg", "--yes"):
            code, _, err = ctl("key", *command, "--data-dir", folder)
            assert (code, "is in use by" in err) == (2, True)


def test_a_key_of_the_peg_is_replaced_and_the_old_one_is_set_aside(folder: Path, ctl: Ctl) -> None:
    old = (folder / "peg.key").read_bytes()
    replace = ("key", "replace-peg", "--data-dir", folder)
    assert ctl(*replace)[0] == 2, "no terminal to ask at"
    assert (folder / "peg.key").read_bytes() == old
    code, out, err = ctl(*replace, "--yes")
    assert code == 0
    assert f"set aside: {folder}/peg.key.replaced-1" in out
    assert "replace no other member's before" in err
    assert (folder / "peg.key.replaced-1").read_bytes() == old
    (folder / "peg.book").unlink()
    answer = json.loads(ctl(*replace, "--yes", "--json")[1])
    assert answer["set_aside"] == [f"{folder}/peg.key.replaced-2"]
    open_signing(folder / "peg.key", folder / "peg.book", is_said=True)


@pytest.mark.parametrize(
    ("answers", "code", "text"),
    [
        (["correct horse", "correct horse"], 0, "sealed with the new passphrase"),
        (["correct horse", "correct hors"], 2, "differ: nothing was changed"),
        ([""], 2, "to have none, say --remove"),
    ],
)
def test_a_person_says_a_new_passphrase_twice(
    folder: Path,
    ctl: Ctl,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(passphrases.getpass, "getpass", lambda _: answers.pop(0))
    found, out, err = ctl("key", "passphrase", "--data-dir", folder)
    assert (found, text in out + err) == (code, True)
    assert is_sealed(folder / "node.key") is (code == 0)


@pytest.mark.slow
def test_a_replaced_key_is_resealed_with_the_others(folder: Path, ctl: Ctl) -> None:
    ctl("key", "replace-peg", "--data-dir", folder, "--yes")
    first = words(folder, "first", "correct horse")
    _, out, _ = ctl("key", "passphrase", "--data-dir", folder, "--new-file", first)
    assert out.startswith("node.key, peg.key, peg.key.replaced-1: sealed")
    load_key(folder / "peg.key.replaced-1", "correct horse", PEG_KEY)


@pytest.mark.slow
def test_a_new_key_of_the_peg_is_sealed_like_the_others(
    folder: Path, ctl: Ctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = words(folder, "first", "correct horse")
    ctl("key", "passphrase", "--data-dir", folder, "--new-file", first)
    (folder / "peg.key").unlink()
    monkeypatch.setenv(VARIABLE, "wrong")
    assert ctl("key", "replace-peg", "--data-dir", folder, "--yes")[0] == 2
    assert not (folder / "peg.key").exists()
    monkeypatch.setenv(VARIABLE, "correct horse")
    assert ctl("key", "replace-peg", "--data-dir", folder, "--yes")[0] == 0
    load_key(folder / "peg.key", "correct horse", PEG_KEY)


def test_a_backup_says_that_no_key_is_in_it(live: Path, ctl: Ctl) -> None:
    code, out, err = ctl("backup", "create", live / "log.backup")
    assert (code, out) == (0, f"{live}/log.backup: 4096 bytes, heights 7 to 70\n")
    assert "NO KEY IS IN IT: keep copies of config.toml, node.key and" in err
    assert "never a copy of peg.book" in err
    assert ctl("backup", "create", live / "log.backup", "--json")[2] == ""
