"""Copies of the log by the clock: when one is due, which stay, and what is said when none is."""

import errno
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pytest
import trio

from ambientd.adapters.age_files import create_identity, is_sealed, recipients_of, seal
from ambientd.adapters.copy_folder import DRAFT_ENDING, CopyFolder
from ambientd.api.backup_values import LookAtBackups
from ambientd.api.backups import AGAIN_MS, Backups
from ambientd.api.genesis_files import write_genesis
from ambientd.api.replies import TroubleKind
from ambientd.api.requests import CreateBackup
from ambientd.api.restoration import verify_backup
from ambientd.codec.statements import fingerprint
from ambientd.config.backup_options import HOUR_MS, BackupOptions
from ambientd.config.places import Places
from ambientd.errors import ConfigError, StoreError, UsageError
from ambientd.model.base import NodeId
from ambientd.runtime.backup import write_backup
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster

BEGIN_MS = 1_760_000_000_000
CLUSTER = b"c" * 32
NODE = NodeId(b"\xaa" * 32)


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.until_closed(cluster.submit())
    cluster.run(2_000)
    return cluster


def store_of(cluster: Cluster) -> MemoryStore:
    store = cluster.hosts[0].store
    assert isinstance(store, MemoryStore)
    return store.copy()


def began() -> int:
    return BEGIN_MS


class Looking:
    """A node that looks after its copies, at moments that the test chooses."""

    def __init__(self, writer: StoreWriter, options: BackupOptions, cluster: Cluster) -> None:
        self.now_ms = BEGIN_MS
        self.backups = Backups(
            options, fingerprint(cluster.genesis), NODE, "a b", writer, lambda: self.now_ms
        )

    async def after(self, hours: float) -> None:
        """Look every ten minutes for so long."""
        end_ms = self.now_ms + round(hours * HOUR_MS)
        while self.now_ms < end_ms:
            await self.backups.look()
            self.now_ms += HOUR_MS // 6


def let_drafts_go_to(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a device stand where a disk would be."""
    opened = os.open

    def opened_there(path: Path, flags: int, mode: int = 0o777) -> int:
        is_draft = str(path).endswith(DRAFT_ENDING)
        return opened(target, os.O_WRONLY) if is_draft else opened(path, flags, mode)

    monkeypatch.setattr(os, "open", opened_there)


def copies_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("a-b-aaaaaaaaaaaa-2025*"))


async def test_a_copy_each_period_and_no_more_than_are_kept(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "other-20250101T000000Z.backup").write_bytes(b"of another node")
    (tmp_path / "a-b-aaaaaaaaaaaa-99999999T999999Z.backup").write_bytes(b"of no moment")
    options = BackupOptions(folder=str(tmp_path), every_hours=6, kept=2)
    async with StoreWriter(store_of(cluster)) as writer:
        node = Looking(writer, options, cluster)
        await node.after(hours=5)
        first = copies_in(tmp_path)
        assert first == ["a-b-aaaaaaaaaaaa-20251009T085320Z.backup"]
        await node.after(hours=20)
        assert copies_in(tmp_path) == [
            "a-b-aaaaaaaaaaaa-20251010T025320Z.backup",
            "a-b-aaaaaaaaaaaa-20251010T085320Z.backup",
        ]
        assert node.backups.troubles() == ()
    assert (tmp_path / "other-20250101T000000Z.backup").exists()
    assert (tmp_path / "a-b-aaaaaaaaaaaa-99999999T999999Z.backup").exists()


async def test_a_node_that_starts_again_counts_the_copies_it_made_before(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "a-b-aaaaaaaaaaaa-20251009T085300Z.backup").write_bytes(b"whole")
    (tmp_path / "a-b-aaaaaaaaaaaa-20251009T085305Z.backup").touch()
    (tmp_path / "a-b-aaaaaaaaaaaa-20251009T085310Z.backup.new").touch()
    options = BackupOptions(folder=str(tmp_path), every_hours=6)
    async with StoreWriter(store_of(cluster)) as writer:
        node = Looking(writer, options, cluster)
        await node.after(hours=5)
        assert len(copies_in(tmp_path)) == 3, "one copy, and what crashes left of others"
        await node.after(hours=2)
        assert len(copies_in(tmp_path)) == 2
        assert not any(name.endswith(".new") for name in copies_in(tmp_path))


async def test_a_clock_that_leapt_ahead_and_back_keeps_no_copy_from_being_made(
    cluster: Cluster, tmp_path: Path
) -> None:
    leapt = tmp_path / "a-b-aaaaaaaaaaaa-21000101T000000Z.backup"
    leapt.write_bytes(b"whole")
    options = BackupOptions(folder=str(tmp_path), every_hours=6, kept=1)
    async with StoreWriter(store_of(cluster)) as writer:
        node = Looking(writer, options, cluster)
        await node.after(hours=5)
        assert copies_in(tmp_path) == ["a-b-aaaaaaaaaaaa-20251009T085320Z.backup"]
        assert not leapt.exists(), "nobody knows how old it is"


async def test_a_node_without_a_block_makes_no_copy_and_that_is_no_trouble(
    cluster: Cluster, tmp_path: Path
) -> None:
    async with StoreWriter(MemoryStore()) as writer:
        node = Looking(writer, BackupOptions(folder=str(tmp_path)), cluster)
        await node.backups.look()
        assert node.backups.troubles() == ()
    assert list(tmp_path.iterdir()) == []


async def test_a_failure_before_the_clock_was_set_back_is_tried_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    async with StoreWriter(store_of(cluster)) as writer:
        node = Looking(writer, BackupOptions(folder=str(folder)), cluster)
        await node.backups.look()
        folder.mkdir()
        node.now_ms -= 100 * HOUR_MS
        await node.backups.look()
        assert node.backups.troubles() == ()


async def test_what_another_node_is_writing_into_the_same_folder_is_left_alone(
    cluster: Cluster, tmp_path: Path
) -> None:
    others = tmp_path / "a-b-c-20251009T085310Z.backup.new"
    owners = tmp_path / "a-b-mine.backup.new"
    others.touch()
    owners.touch()
    async with StoreWriter(store_of(cluster)) as writer:
        await Looking(writer, BackupOptions(folder=str(tmp_path)), cluster).after(hours=1)
    assert others.exists()
    assert owners.exists()


async def test_a_folder_of_sealed_copies_never_holds_a_clear_byte(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def auditing(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).startswith(str(tmp_path / "share")):
            opened.append(str(arguments[0]))

    sys.addaudithook(auditing)
    recipient = create_identity(tmp_path / "key")
    file = tmp_path / "share" / "one.age"
    file.parent.mkdir()
    async with StoreWriter(store_of(cluster)) as writer:
        backups = Backups(
            BackupOptions(), fingerprint(cluster.genesis), NODE, "n", writer, lambda: BEGIN_MS
        )
        await backups.make(CreateBackup(path=str(file), recipients=(recipient,)))
    taken = [str(file), str(file.parent)]  # a name, and the names in a folder: no bytes of it
    assert re.fullmatch(re.escape(str(file)) + r"\.[0-9a-f]{8}\.new", opened[0])
    assert opened[1:] == taken


async def test_a_disk_that_fills_while_a_copy_is_sealed_is_named(
    cluster: Cluster, tmp_path: Path
) -> None:
    def failing(clear: BinaryIO, sealed: BinaryIO) -> None:
        clear.read(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with StoreWriter(store_of(cluster)) as writer:
        with pytest.raises(StoreError, match="No space left"):
            await write_backup(
                writer, fingerprint(cluster.genesis), CopyFolder(tmp_path), "one.age", failing
            )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_disk_that_is_full_at_the_last_byte_leaves_no_copy(
    cluster: Cluster, tmp_path: Path, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipients = [create_identity(tmp_path / "key")]
    folder = tmp_path / "copies"
    folder.mkdir()
    let_drafts_go_to(Path("/dev/full"), monkeypatch)
    sealing = partial(seal, recipients=recipients_of(recipients)) if sealed else None
    async with StoreWriter(store_of(cluster)) as writer:
        with pytest.raises(StoreError, match="No space left"):
            await write_backup(writer, CLUSTER, CopyFolder(folder), "one", sealing)
    assert list(folder.iterdir()) == []


async def test_a_share_that_hangs_holds_up_neither_the_node_nor_its_end(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "hanging")
    let_drafts_go_to(tmp_path / "hanging", monkeypatch)
    async with StoreWriter(store_of(cluster)) as writer:
        backups = Looking(writer, BackupOptions(), cluster).backups
        with trio.move_on_after(0.5) as scope:
            async with trio.open_nursery() as nursery:
                path = str(tmp_path / "one")
                nursery.start_soon(backups.make, CreateBackup(path=path))
                while not (found := (await backups.look_at(LookAtBackups())).copies):
                    await trio.lowlevel.checkpoint()
                [copy] = found
                assert (copy.name, copy.rows_total) == ("one", 0)
        assert (await backups.look_at(LookAtBackups())).copies == ()
    assert scope.cancelled_caught
    os.close(os.open(tmp_path / "hanging", os.O_RDONLY))  # what hung goes on, to nothing
    assert not (tmp_path / "one").exists()


async def test_a_folder_needs_no_hard_links(cluster: Cluster, tmp_path: Path) -> None:
    linked: list[str] = []
    sys.addaudithook(lambda event, _: linked.append(event) if event == "os.link" else None)
    async with StoreWriter(store_of(cluster)) as writer:
        await write_backup(writer, CLUSTER, CopyFolder(tmp_path), "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert linked == []


async def test_nodes_called_alike_that_share_a_folder_keep_their_own_copies(
    cluster: Cluster, tmp_path: Path
) -> None:
    options = BackupOptions(folder=str(tmp_path), every_hours=6, kept=2)
    moments_ms = [BEGIN_MS]
    async with StoreWriter(store_of(cluster)) as writer:
        nodes = [
            Backups(
                options, CLUSTER, NodeId(bytes([n]) * 32), "edge", writer, lambda: moments_ms[-1]
            )
            for n in (1, 2)
        ]
        while len(moments_ms) < 5:
            for node in nodes:
                await node.look()
            moments_ms.append(moments_ms[-1] + 6 * HOUR_MS)
    names = sorted(path.name[:17] for path in tmp_path.iterdir())
    assert names == ["edge-010101010101"] * 2 + ["edge-020202020202"] * 2


async def test_a_folder_that_is_gone_is_a_trouble_until_it_is_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    async with StoreWriter(store_of(cluster)) as writer:
        node = Looking(writer, BackupOptions(folder=str(folder)), cluster)
        await node.backups.look()
        (trouble,) = node.backups.troubles()
        assert trouble.kind is TroubleKind.BACKUP_FAILS
        assert str(folder) in trouble.text
        folder.mkdir()
        await node.backups.look()
        assert copies_in(folder) == [], "it waits a while before it tries again"
        node.now_ms += AGAIN_MS
        await node.backups.look()
        assert node.backups.troubles() == ()
        assert len(copies_in(folder)) == 1


async def test_a_sealed_copy_is_whole_for_whoever_has_the_key(
    cluster: Cluster, tmp_path: Path
) -> None:
    identity, other = tmp_path / "key", tmp_path / "other"
    recipient = create_identity(identity)
    create_identity(other)
    write_genesis(Places(tmp_path), cluster.genesis)
    genesis = Places(tmp_path).genesis
    file = tmp_path / "copies" / "one.age"
    file.parent.mkdir()
    async with StoreWriter(store_of(cluster)) as writer:
        backups = Backups(
            BackupOptions(), fingerprint(cluster.genesis), NODE, "n", writer, lambda: BEGIN_MS
        )
        made = await backups.make(CreateBackup(path=str(file), recipients=(recipient,)))
    assert made.sealed
    assert is_sealed(file)
    assert [path.name for path in file.parent.iterdir()] == ["one.age"]
    done = verify_backup(genesis, file, identity)
    assert (done.height, done.root.hex()) == (made.height, made.state_root)
    with pytest.raises(UsageError, match="is sealed: name the secret key"):
        verify_backup(genesis, file)
    with pytest.raises(StoreError, match="is not sealed to a key of"):
        verify_backup(genesis, file, other)


async def test_a_public_key_that_is_none_ends_the_daemon_with_words(tmp_path: Path) -> None:
    options = BackupOptions(folder=str(tmp_path), recipients=("age1nobody",))
    async with StoreWriter(MemoryStore()) as writer:
        with pytest.raises(
            ConfigError, match=r"\[backup\] recipients: \"age1nobody\" is no public"
        ):
            Backups(options, CLUSTER, NODE, "n", writer, began)


def test_hours_are_hours() -> None:
    assert BackupOptions(every_hours=24).every_ms == 24 * HOUR_MS == 86_400_000
