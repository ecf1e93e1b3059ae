"""Backups of logs that went over to another state version, and a program that does not know it."""

from pathlib import Path

import pytest

from ambientd.adapters.copy_folder import CopyFolder
from ambientd.codec.statements import fingerprint
from ambientd.errors import StoreError
from ambientd.runtime.backup import write_backup
from ambientd.runtime.persistence import recover
from ambientd.runtime.restoring import restore
from ambientd.runtime.store_writer import StoreWriter
from sim.cluster import Cast
from sim.faults import Fault
from sim.next_version import NEXT_VERSIONS, OLDER_VERSIONS
from tests.fakes.memory_store import MemoryStore
from tests.sim.test_versions import updated


async def saved(cast: Cast, path: Path) -> Path:
    async with StoreWriter(cast.members[0].disk) as writer:
        await write_backup(writer, fingerprint(cast.genesis), CopyFolder(path), "node.backup")
    return path / "node.backup"


@pytest.mark.parametrize("faults", [(), (Fault.SHORT_LOG,)], ids=["whole", "short"])
async def test_a_backup_across_two_state_versions_leads_to_the_same_state(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    _, cast = updated(0, 1, 2, faults=faults, until_ms=25_000)
    copy = await saved(cast, tmp_path)
    store = MemoryStore()
    done = restore(copy, store, cast.genesis, versions=NEXT_VERSIONS)
    there = recover(cast.members[0].disk, cast.genesis, NEXT_VERSIONS).ledger
    here = recover(store, cast.genesis, NEXT_VERSIONS).ledger
    assert (done.height, done.root) == (there.applied_index, there.root)
    assert (here.root, here.version) == (there.root, 2)


@pytest.mark.parametrize("faults", [(), (Fault.SHORT_LOG,)], ids=["whole", "short"])
async def test_a_program_that_does_not_know_the_version_says_so_and_restores_nothing_more(
    tmp_path: Path, faults: tuple[Fault, ...]
) -> None:
    _, cast = updated(0, 1, 2, faults=faults, until_ms=25_000)
    copy = await saved(cast, tmp_path)
    with pytest.raises(StoreError, match="of version 2, this program knows 1: update it"):
        restore(copy, MemoryStore(), cast.genesis, versions=OLDER_VERSIONS)
