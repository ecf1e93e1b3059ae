"""One contract on both places of copies: a folder, and a bucket of an independent S3 server."""

import io
import os
import re
from pathlib import Path

import pytest

from ambientd.adapters.age_files import create_identity
from ambientd.adapters.copy_folder import FileDraft
from ambientd.adapters.copy_places import copy_of, is_remote, place_of
from ambientd.adapters.s3_copies import _first_line
from ambientd.api.backups import Backups
from ambientd.api.genesis_files import write_genesis
from ambientd.api.operations import OperationError
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
from tests.adapters.s3_server import BUCKET
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster
from tests.own_ports import fresh_port

pytestmark = [pytest.mark.net, pytest.mark.slow]

PARTS_BYTES = 20 * 1024 * 1024
"""More than two parts of an upload."""
PART_BYTES = 100_000
"""More than a file's buffer."""
BEGIN_MS = 1_760_000_000_000
NODE = NodeId(b"\xaa" * 32)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give an empty place of copies, as an owner writes it down."""
    if request.param == "folder":
        folder = tmp_path / "copies"
        folder.mkdir()
        return str(folder)
    for name, value in request.getfixturevalue("server").items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"


def fetched(text: str, name: str) -> bytes:
    into = io.BytesIO()
    place_of(text).fetch(name, into)
    return into.getvalue()


@pytest.mark.parametrize("size_bytes", [1, PARTS_BYTES])
def test_a_copy_is_there_when_it_is_whole_and_not_before(place: str, size_bytes: int) -> None:
    whole, there = os.urandom(size_bytes), place_of(place)
    draft = there.begin("one")
    for first in range(0, size_bytes, 300_000):
        draft.write(whole[first : first + 300_000])
        assert there.names() == []
    assert draft.keep() == size_bytes
    assert there.names() == ["one"]
    assert fetched(place, "one") == whole
    draft.drop()
    assert there.names() == ["one"], "what is kept is not dropped"
    with pytest.raises(UsageError, match="one exists already and is not overwritten"):
        there.begin("one")
    there.delete("one")
    there.delete("one")
    assert there.names() == []
    with pytest.raises(StoreError, match="one"):
        fetched(place, "one")


def test_a_copy_that_is_dropped_was_never_there(place: str) -> None:
    there = place_of(place)
    draft = there.begin("one")
    draft.write(bytes(PARTS_BYTES))
    draft.drop()
    del draft
    assert there.names() == []
    assert there.drafts() == []


def test_what_a_crash_left_is_no_copy_and_can_be_removed(place: str) -> None:
    there = place_of(place)
    draft = there.begin("one")
    draft.write(b"half")
    if isinstance(draft, FileDraft):
        draft._file.close()
    for name in there.drafts():
        there.drop_draft(name)
    assert (there.names(), there.drafts()) == ([], [])
    if not is_remote(place):
        (Path(place) / "two").touch()
        assert (there.names(), there.drafts()) == ([], ["two"])
        there.drop_draft("two")
        assert not (Path(place) / "two").exists()


def test_two_copies_that_begin_at_once_share_no_byte(tmp_path: Path) -> None:
    there = place_of(str(tmp_path))
    first, second = there.begin("one"), there.begin("one")
    first.write(b"a" * PART_BYTES)
    assert first.keep() == PART_BYTES
    second.write(b"b" * 2 * PART_BYTES)
    with pytest.raises(UsageError, match="one exists already"):
        second.keep()
    second.drop()
    assert fetched(str(tmp_path), "one") == b"a" * PART_BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_copy_that_is_given_up_takes_no_other_with_it(tmp_path: Path) -> None:
    there = place_of(str(tmp_path))
    first, second = there.begin("one"), there.begin("one")
    second.write(b"whole")
    assert there.drafts() == ["one"]
    first.drop()
    assert second.keep() == 5
    assert fetched(str(tmp_path), "one") == b"whole"


def test_a_copy_whose_draft_is_gone_leaves_its_name_free(tmp_path: Path) -> None:
    there = place_of(str(tmp_path))
    draft = there.begin("one")
    there.drop_draft("one")
    with pytest.raises(StoreError, match="cannot write the backup"):
        draft.keep()
    draft.drop()
    assert list(tmp_path.iterdir()) == []


def test_no_draft_is_written_into_what_others_laid_there(tmp_path: Path) -> None:
    """A folder of copies may be a share: whoever may write there must not choose the file."""
    key, folder = tmp_path / "node.key", tmp_path / "copies"
    folder.mkdir()
    key.write_bytes(b"of the node")
    (folder / "one.new").symlink_to(key)
    (folder / "two.new").touch()
    (folder / "two.new").chmod(0o666)
    for name in ("one", "two"):
        draft = place_of(str(folder)).begin(name)
        draft.write(b"of the log")
        draft.keep()
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() == b"of the node"
    assert (folder / "two.new").read_bytes() == b""


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


async def test_a_node_copies_its_log_there_sealed_and_it_is_verified_from_there(
    cluster: Cluster, place: str, tmp_path: Path
) -> None:
    identity = tmp_path / "key"
    recipient = create_identity(identity)
    write_genesis(Places(tmp_path), cluster.genesis)
    async with StoreWriter(store_of(cluster)) as writer:
        backups = Backups(
            BackupOptions(), fingerprint(cluster.genesis), NODE, "n", writer, lambda: BEGIN_MS
        )
        asked = CreateBackup(path=f"{place}/one.age", recipients=(recipient,))
        made = await backups.make(asked)
    assert (made.path, made.sealed) == (f"{place}/one.age", True)
    assert fetched(place, "one.age").startswith(b"age-encryption.org/v1\n")
    assert made.size_bytes == len(fetched(place, "one.age"))
    done = verify_backup(Places(tmp_path).genesis, f"{place}/one.age", identity)
    assert (done.height, done.root.hex()) == (made.height, made.state_root)


async def test_copies_by_the_clock_go_there_and_the_oldest_are_deleted(
    cluster: Cluster, place: str
) -> None:
    others = place_of(place).begin("other-000000000000-20250101T000000Z.backup")
    others.write(b"of another node")
    others.keep()
    moments_ms = [BEGIN_MS]
    options = BackupOptions(folder=place, every_hours=6, kept=2)
    async with StoreWriter(store_of(cluster)) as writer:
        node = Backups(options, b"c" * 32, NODE, "n", writer, lambda: moments_ms[-1])
        while len(moments_ms) < 5:
            await node.look()
            assert node.troubles() == ()
            moments_ms.append(moments_ms[-1] + 6 * HOUR_MS)
    assert sorted(place_of(place).names()) == [
        "n-aaaaaaaaaaaa-20251009T205320Z.backup",
        "n-aaaaaaaaaaaa-20251010T025320Z.backup",
        "other-000000000000-20250101T000000Z.backup",
    ]


async def test_a_bucket_that_is_not_there_or_refuses_is_a_trouble_with_words(
    cluster: Cluster, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    async with StoreWriter(store_of(cluster)) as writer:
        with pytest.raises(StoreError, match="s3://nowhere/x is not there, or its bucket"):
            await write_backup(writer, b"c" * 32, place_of("s3://nowhere"), "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        options = BackupOptions(folder=f"s3://{BUCKET}/mine")
        node = Backups(options, b"c" * 32, NODE, "n", writer, lambda: BEGIN_MS)
        await node.look()
        (trouble,) = node.troubles()
    assert trouble.kind is TroubleKind.BACKUP_FAILS
    assert f"s3://{BUCKET}/mine" in trouble.text
    assert "another" not in trouble.text, "a secret is in no words"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "minio.local:9000"),
        ("AWS_ENDPOINT_URL", "http://a b"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:99999"),
        ("AWS_ACCESS_KEY_ID", "a-key-with-its-line-break\n"),
    ],
)
async def test_no_text_in_the_environment_ends_the_daemon(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The library panics at some, which is no Exception, and would pass by all who look for one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{fresh_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key-of-tests")
    monkeypatch.setenv(name, value)
    options = BackupOptions(folder=f"s3://{BUCKET}/mine")
    async with StoreWriter(store_of(cluster)) as writer:
        node = Backups(options, b"c" * 32, NODE, "n", writer, lambda: BEGIN_MS)
        await node.look()
    (trouble,) = node.troubles()
    assert "see AWS_ENDPOINT_URL, AWS_REGION and the keys" in trouble.text


@pytest.mark.parametrize("text", ["s3://cop ies/one", "s3://copies/..", "s3://copies/o\nne"])
async def test_an_address_that_no_bucket_can_have_is_the_askers_fault(
    cluster: Cluster, text: str
) -> None:
    async with StoreWriter(store_of(cluster)) as writer:
        node = Backups(BackupOptions(), b"c" * 32, NODE, "n", writer, lambda: BEGIN_MS)
        with pytest.raises(OperationError) as told:
            await node.make(CreateBackup(path=text))
    assert told.value.code == "invalid"


def test_no_password_of_an_endpoint_is_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:pa55@word@127.0.0.1:{fresh_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key-of-tests")
    with pytest.raises(StoreError, match="see AWS_ENDPOINT_URL") as told:
        place_of("s3://copies").names()
    assert "127.0.0.1" in str(told.value)
    assert re.search("user|pa55|word", str(told.value)) is None


def test_words_of_a_server_draw_nothing_on_a_terminal() -> None:
    assert _first_line(OSError("403: \x1b[31mgone\x07\nmore")) == "403: ?[31mgone?"


def test_an_address_without_a_bucket_or_a_name_is_refused() -> None:
    for text in ("s3://", "s3:///x", "s3://copies", "s3://copies/"):
        with pytest.raises(UsageError, match="name a "):
            copy_of(text)


def test_a_file_in_a_folder_that_is_not_there_is_the_callers_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("nope", "file"):
        with pytest.raises(UsageError, match=f"{folder}: there is no such folder"):
            copy_of(str(tmp_path / folder / "log.backup"))


def test_a_place_in_the_config_that_is_none_ends_the_daemon_with_words() -> None:
    options = BackupOptions(folder="s3:///folder")
    with pytest.raises(ConfigError, match=r"\[backup\] folder: s3:///folder: name a bucket"):
        Backups(options, b"c" * 32, NODE, "n", None, lambda: BEGIN_MS)  # type: ignore[arg-type]
