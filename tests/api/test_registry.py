"""The registry as a node's owner uses it: names lead to bytes, and to no others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as with_pins
from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd.adapters.pin_file import PinFile
from ambientd.api.operations import OperationError
from ambientd.api.registry import Registry
from ambientd.api.registry_values import (
    BringModule,
    ListModules,
    ModuleInfo,
    PinModule,
    ShowModule,
    UnpinModule,
    YankModule,
)
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import manifest_hash, sign_manifest, sign_record
from ambientd.errors import ConfigError
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.model.base import NodeId
from ambientd.model.record import Publish
from ambientd.runtime.pins import Pins
from tests.api.test_desk import Office, office
from tests.ledger.publishing import manifest
from tests.modules.compiled import module
from tests.modules.publishing import wanted

ECHO = module("echo")
WORDS = wanted(ECHO, "echo", summary="gives back what it is given", price_msat_per_mgas=7)


@asynccontextmanager
async def counter(folder: Path) -> AsyncIterator[tuple[Registry, Office]]:
    async with office(folder) as it:
        yield it.desk.registry, it


def bring(version: str = "1.0.0", publisher: str = "node1", name: str = "echo") -> BringModule:
    return BringModule(publisher=publisher, name=name, version=version)


async def refused(registry: Registry, request: BringModule) -> OperationError:
    with pytest.raises(OperationError) as caught:
        await registry.bring(request)
    return caught.value


async def test_what_is_published_is_found_shown_and_brought(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        done = await registry.publish(WORDS)
        assert (done.module_sha256, done.fee_msat) == (sha256(ECHO).hex(), 1_000_000)
        assert (await registry.publish(WORDS)).fee_msat == 0, "the same again costs nothing"
        for text in ("echo", "GIVES BACK", "node1/", done.publisher[:8], ""):
            [line] = (await registry.list(ListModules(text=text))).modules
            assert (line.name, line.version, line.publisher_name) == ("echo", "1.0.0", "node1")
        assert (await registry.list(ListModules(text="other"))).total == 0
        with pytest.raises(OperationError, match="is no place in this list"):
            await registry.list(ListModules(after="shout"))
        shown = await registry.show(ShowModule(publisher="node1", name="echo"))
        assert shown.manifest is not None
        assert (shown.manifest.price_msat_per_mgas, shown.manifest.licence) == (7, "MIT")
        assert (shown.shown.module_sha256, shown.here, shown.pinned) == (
            done.module_sha256,
            True,
            False,
        )
        assert await registry.bring(bring(publisher=done.publisher[:10])) == shown


async def test_without_a_version_the_one_that_is_pinned_is_brought(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        await registry.publish(replace(WORDS, version="1.1.0"))
        none = await refused(registry, bring(""))
        assert (none.code, "none is pinned here" in none.message) == ("not_found", True)
        await registry.pin(PinModule(publisher="node1", name="echo", version="1.0.0"))
        assert (await registry.bring(bring(""))).shown.version == "1.0.0"
        await registry.pin(PinModule(publisher="node1", name="echo", version="1.1.0"))
        both = await refused(registry, bring(""))
        assert "2 versions are pinned: 1.0.0, 1.1.0" in both.message
        await registry.unpin(UnpinModule(publisher="node1", name="echo", version="1.0.0"))
        assert (await registry.bring(bring(""))).shown.version == "1.1.0"


async def test_all_names_of_the_same_bytes_are_shown(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        done = await registry.publish(WORDS)
        await registry.publish(replace(WORDS, name="parrot"))
        shown = await registry.show(ShowModule(publisher="node1", name="parrot"))
        assert shown.published_as == (
            f"{done.publisher}/echo@1.0.0",
            f"{done.publisher}/parrot@1.0.0",
        )


async def test_a_version_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        with pytest.raises(OperationError, match="as another module"):
            await registry.publish(replace(WORDS, gas_max=5))
        with pytest.raises(OperationError, match=r"MAJOR\.MINOR"):
            await registry.publish(replace(WORDS, version="1.0.0-rc.1"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"module": b"no module"}, "no WebAssembly"),
        ({"module": b"", "module_sha256": "00" * 32}, "not on this node"),
        ({"licence": ""}, "SPDX"),
        ({"name": "Echo"}, "cannot name"),
        ({"version": "1"}, "is no version"),
        ({"source_url": "ftp://x"}, "https"),
    ],
)
async def test_what_cannot_be_published_is_said_before_anything_is_paid(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    async with counter(tmp_path) as (registry, it):
        with pytest.raises(OperationError, match=words):
            await registry.publish(replace(WORDS, **change))
        assert it.node.ledger.modules.names() == []


async def test_a_name_that_nobody_published_says_what_there_is(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        assert "no module 'ecko'" in str(await refused(registry, bring(name="ecko")))
        assert "the newest is 1.0.0" in str(await refused(registry, bring("1.0.1")))
        assert "no node 'nodel'" in str(await refused(registry, bring(publisher="nodel")))


async def test_a_yanked_version_is_marked_and_advised_no_more(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        await registry.publish(replace(WORDS, version="1.1.0"))
        yank = YankModule(publisher="node1", name="echo", version="1.1.0", reason="echoes twice")
        assert (await registry.yank(yank)).shown.yanked == "echoes twice"
        assert (await registry.yank(yank)).shown.yanked == "echoes twice", "once is enough"
        [line] = (await registry.list(ListModules())).modules
        assert (line.version, line.versions) == ("1.0.0", 2)
        assert (await registry.bring(bring("1.1.0"))).shown.yanked == "echoes twice"


@pytest.mark.parametrize("reason", ["", "\x1b[31mred", "x" * 101])
async def test_a_reason_that_the_log_would_not_take_is_refused_at_once(
    tmp_path: Path, reason: str
) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        yank = YankModule(publisher="node1", name="echo", version="1.0.0", reason=reason)
        with pytest.raises(OperationError, match="reason") as refused:
            await registry.yank(yank)
        assert (refused.value.code, refused.value.hint) == (
            "invalid",
            "give another one with --reason",
        )


async def test_a_version_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        with pytest.raises(OperationError, match=r"has no version 9\.9\.9"):
            await registry.show(ShowModule(publisher="node1", name="echo", version="9.9.9"))


def publish_by_hand(it: Office, body: Publish) -> None:
    """Put a record into the ledger that this program would not write."""
    state = it.node.ledger
    record = sign_record(it.owner.signer, body)
    context = BlockContext(
        index=state.applied_index + 1, term=1, time_ms=state.meta.time_ms + 1, beacon=bytes(32)
    )
    done = apply_block(state, context, [record])
    state.commit(context.index, done.writes, done.tree)


async def test_a_module_that_nobody_holds_says_so(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, it):
        publisher = NodeId(it.owner.signer.public_key)
        signed = sign_manifest(it.owner.signer, manifest(publisher))
        told = signed.manifest
        body = Publish(
            name="sums",
            version="1.0.0",
            summary="",
            manifest=manifest_hash(signed),
            module=told.module,
            module_size_bytes=told.module_size_bytes,
        )
        publish_by_hand(it, body)
        wanted = bring(name="sums")
        assert "holds its manifest" in str(await refused(registry, wanted))
        shown = await registry.show(ShowModule(publisher="node1", name="sums"))
        assert (shown.manifest, shown.here) == (None, False)
        assert "holds its manifest" in shown.problem
        await it.parts.blobs.put(encode(signed))
        assert "nobody who can be reached holds sums@1.0.0" in str(await refused(registry, wanted))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"version": "1.0.1"},
        {"module": bytes(32)},
        {"module_size_bytes": 9},
        {"publisher": bytes(32)},
        {"licence": ""},
    ],
)
async def test_a_manifest_of_something_else_is_not_believed(
    tmp_path: Path, change: dict[str, object]
) -> None:
    async with counter(tmp_path) as (registry, it):
        right = manifest(NodeId(it.owner.signer.public_key))
        signed = sign_manifest(it.owner.signer, replace(right, **change))
        body = Publish(
            name="sums",
            version="1.0.0",
            summary="",
            manifest=manifest_hash(signed),
            module=right.module,
            module_size_bytes=right.module_size_bytes,
        )
        publish_by_hand(it, body)
        await it.parts.blobs.put(encode(signed))
        assert (await refused(registry, bring(name="sums"))).code == "unavailable"


async def test_a_pin_outlives_the_daemon_and_keeps_the_bytes(tmp_path: Path) -> None:
    file = PinFile(tmp_path / "modules.lock")
    async with counter(tmp_path) as (_, it):
        registry = Registry(it.owner.signer, with_pins(it.parts, pins=Pins(file)), 1 << 20)
        await registry.publish(WORDS)
        assert (
            await registry.pin(PinModule(publisher="node1", name="echo", version="1.0.0"))
        ).pinned
        again = Pins(file)
        [pin] = again
        assert (pin.written, pin.module) == ("node1", sha256(ECHO).hex())
        assert sha256(ECHO) in again.kept(it.node.ledger, NodeId(bytes(32)))
        unpin = UnpinModule(publisher="node1", name="echo", version="1.0.0")
        await registry.unpin(unpin)
        assert list(Pins(file)) == []
        assert Pins(file).kept(it.node.ledger, NodeId(bytes(32))) == set()
        with pytest.raises(OperationError, match="not pinned") as refused:
            await registry.unpin(unpin)
        assert "modules.lock" in refused.value.hint


@pytest.mark.parametrize("text", ["", "{", "[{}]", '[{"written": "a"}]', "\xff"])
def test_a_lock_file_that_does_not_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "modules.lock").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"modules\.lock: does not read"):
        Pins(PinFile(tmp_path / "modules.lock"))


async def test_what_a_node_publishes_stays_on_it_until_it_yanks_it(tmp_path: Path) -> None:
    async with counter(tmp_path) as (registry, it):
        await registry.publish(WORDS)
        node = NodeId(it.owner.signer.public_key)
        assert sha256(ECHO) in it.parts.pins.kept(it.node.ledger, node)
        await registry.yank(
            YankModule(publisher="node1", name="echo", version="1.0.0", reason="worn out")
        )
        assert it.parts.pins.kept(it.node.ledger, node) == set()


async def test_a_pinned_name_means_its_key_and_its_bytes_alone(tmp_path: Path) -> None:
    """Somebody who takes a publisher's name later, or a lock file of elsewhere, changes nothing."""
    async with counter(tmp_path) as (registry, it):
        await registry.publish(WORDS)
        pinned: ModuleInfo = await registry.pin(
            PinModule(publisher="node1", name="echo", version="1.0.0")
        )
        [pin] = it.parts.pins
        it.parts.pins.add(replace(pin, module="00" * 32))
        assert "was pinned as another module" in str(await refused(registry, bring()))
        it.parts.pins.drop(next(iter(it.parts.pins)))
        it.parts.pins.add(replace(pin, written="acme"))
        meant = await registry.bring(bring(publisher="acme"))
        assert meant.publisher == pinned.publisher
        assert "no node 'acme'" in str(
            await refused(registry, bring(publisher="acme", name="sums"))
        )


async def test_what_the_ledger_would_refuse_is_refused_at_once_and_every_time(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path) as (registry, _):
        await registry.publish(WORDS)
        other = replace(WORDS, summary="something else")
        for _ in range(2):  # the log takes a record once: it would not answer the second time
            with pytest.raises(OperationError, match="published already, as another") as caught:
                await registry.publish(other)
            assert caught.value.code == "rejected"
        assert (await registry.publish(replace(other, version="1.0.1"))).fee_msat > 0
