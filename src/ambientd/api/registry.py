"""The registry as a node's owner uses it: publish, search, look, bring, pin (protocols/15)."""

import re

import trio
from msgspec.structs import replace

from ambientd.api import registry_values as values
from ambientd.api.accounts import hint_on_means
from ambientd.api.deciding import NOT_IN_TIME, fault_of, outcome_of
from ambientd.api.imaging import image_info
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.registry_views import (
    chosen,
    manifest_info,
    module_line,
    published_as,
    version_info,
)
from ambientd.api.shelf import named_or_given
from ambientd.api.views import find_node, name_of
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import manifest_hash, sign_manifest
from ambientd.config.module_pins import Pin
from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.ledger.events import ModulePublished, ModuleYanked, RecordRejected
from ambientd.ledger.module_entries import ModuleEntry, ModuleVersion
from ambientd.ledger.modules import take
from ambientd.model.base import Digest, NodeId
from ambientd.model.module import Manifest
from ambientd.model.record import Publish, Yank
from ambientd.rules.modules import (
    MANIFEST_BYTES_MAX,
    PUBLISH_FEE_MSAT,
    manifest_fault,
    read_manifest,
    yank_fault,
)
from ambientd.runtime.pins import PINS_MAX
from ambientd.runtime.service import Parts

MODULE_MAGIC = b"\0asm"
_PLACE = re.compile(r".+[0-9a-f]{64}")


class Registry:
    """Answers what concerns published modules."""

    def __init__(self, signer: Signer, parts: Parts, module_bytes_max: int) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._parts = parts
        self._state = parts.node.ledger
        self._module_bytes_max = module_bytes_max
        self._speaking = trio.Lock()  # each is judged by what the one before has left

    async def list(self, request: values.ListModules) -> values.Modules:
        """List the modules that hold a text in name, summary, or publisher's name or id."""
        check_place(request.after, _PLACE)
        wanted = request.text.lower()
        lines = (module_line(self._state, *place) for place in self._state.modules.names())
        found = [
            each
            for each in lines
            if wanted in f"{each.publisher_name}/{each.name} {each.summary}".lower()
            or each.publisher.startswith(wanted)
        ]
        shown, following = page(
            found, lambda each: each.name + each.publisher, request.limit, request.after
        )
        return values.Modules(modules=tuple(shown), total=len(found), next=following)

    async def show(self, request: values.ShowModule) -> values.ModuleInfo:
        """Tell all that is known of a version."""
        publisher, entry = self._find(request)
        version = chosen(entry, request.version)
        if version is None:
            raise _no_version(entry, request, request.version)
        return await self._info(publisher, request.name, entry, version)

    async def bring(self, request: values.BringModule) -> values.ModuleInfo:
        """Have a version's bytes and its manifest here, each what the ledger says."""
        if not request.version:
            request = replace(request, version=self._pinned_version(request))
        publisher, entry, version = self._find_one(request)
        await self._bring(publisher, request.name, version)
        return await self._info(publisher, request.name, entry, version)

    async def pin(self, request: values.PinModule) -> values.ModuleInfo:
        """Keep a version here, and hold its written name to what it means now."""
        publisher, entry, version = self._find_one(request)
        pins = self._parts.pins
        is_known = pins.of(publisher, request.name, version.version) is not None
        if len(pins) >= PINS_MAX and not is_known:
            msg = f"{PINS_MAX} versions are pinned here, and no more can be"
            raise OperationError("busy", msg, "let one go: `ambientctl module unpin`")
        await self._bring(publisher, request.name, version)
        pin = Pin(
            written=request.publisher,
            publisher=publisher.hex(),
            name=request.name,
            version=version.version,
            module=version.module.hex(),
            manifest=version.manifest.hex(),
        )
        try:
            pins.add(pin)
        except StoreError as error:
            raise OperationError("store", str(error)) from error
        return await self._info(publisher, request.name, entry, version)

    async def unpin(self, request: values.UnpinModule) -> values.Unpinned:
        """Let a pinned version go."""
        publisher = self._publisher(request)
        pin = self._parts.pins.of(publisher, request.name, request.version)
        if pin is None:
            msg = f"{_written(request)}@{request.version} is not pinned here"
            raise OperationError("not_found", msg, "modules.lock in the node's folder has what is")
        try:
            self._parts.pins.drop(pin)
        except StoreError as error:
            raise OperationError("store", str(error)) from error
        return values.Unpinned(publisher=pin.publisher, name=pin.name, version=pin.version)

    async def publish(self, request: values.PublishModule) -> values.ModulePublished:
        """Sign a manifest, keep it and the module here, and bring the version into the log."""
        given, named = request.module, request.module_sha256
        module = await named_or_given(self._parts.blobs, "module", given, named)
        if not module.startswith(MODULE_MAGIC):
            hint = "give the bytes of a .wasm file, or a blob's SHA-256"
            raise OperationError("invalid", "this is no WebAssembly module", hint)
        manifest = self._manifest(request, module)
        fault = manifest_fault(manifest)
        if fault is not None:
            raise OperationError("invalid", fault, "mend it, where the module is described")
        signed = sign_manifest(self._signer, manifest)
        body = Publish(
            name=manifest.name,
            version=manifest.version,
            summary=manifest.summary,
            manifest=manifest_hash(signed),
            module=manifest.module,
            module_size_bytes=manifest.module_size_bytes,
        )
        await self._parts.blobs.put(module)
        await self._parts.blobs.put(encode(signed))
        fee_msat = 0 if self._is_taken(body) else PUBLISH_FEE_MSAT
        if fee_msat:
            await self._say(body)
        return values.ModulePublished(
            publisher=self._id.hex(),
            name=body.name,
            version=body.version,
            module_sha256=body.module.hex(),
            manifest_sha256=body.manifest.hex(),
            fee_msat=fee_msat,
        )

    async def yank(self, request: values.YankModule) -> values.ModuleInfo:
        """Advise against a version of this node's own."""
        body = Yank(name=request.name, version=request.version, reason=request.reason)
        publisher, _, version = self._find_one(request)
        if publisher != self._id:
            msg = f"{_written(request)} is not of this node"
            raise OperationError("rejected", msg, "only its publisher advises against it")
        fault = yank_fault(body)
        if fault is not None:
            raise OperationError("invalid", fault, "give another one with --reason")
        if not version.yanked:
            await self._say(body)
        publisher, entry, version = self._find_one(request)
        return await self._info(publisher, body.name, entry, version)

    def _manifest(self, request: values.PublishModule, module: bytes) -> Manifest:
        return Manifest(
            publisher=self._id,
            name=request.name,
            version=request.version,
            summary=request.summary,
            module=Digest(sha256(module)),
            module_size_bytes=len(module),
            interface=request.interface,
            gas_max=request.gas_max,
            memory_bytes_max=request.memory_bytes_max,
            wall_ms_max=request.wall_ms_max,
            output_bytes_max=request.output_bytes_max,
            price_msat_per_mgas=request.price_msat_per_mgas,
            licence=request.licence,
            source_url=request.source_url,
            source_sha256=bytes.fromhex(request.source_sha256 or ""),
        )

    def _publisher(self, request: values.NamedModule) -> NodeId:
        """Find who is meant: whom a pin of this module meant by it, else the one node that fits."""
        pinned = self._parts.pins.publisher_of(request.publisher, request.name)
        return find_node(self._state, request.publisher) if pinned is None else pinned

    def _pinned_version(self, request: values.NamedModule) -> str:
        """Give the one version that is pinned here; nothing chooses among several."""
        publisher = self._publisher(request)
        pinned = self._parts.pins.versions_of(publisher, request.name)
        if len(pinned) == 1:
            return pinned[0]
        hint = f"write {_written(request)}@VERSION"
        if not pinned:
            msg = f"{_written(request)} names no version, and none is pinned here"
            raise OperationError("not_found", msg, f"{hint}, or pin one: `ambientctl module pin`")
        msg = f"of {_written(request)} {len(pinned)} versions are pinned: {', '.join(pinned)}"
        raise OperationError("invalid", msg, hint)

    def _find(self, request: values.NamedModule) -> tuple[NodeId, ModuleEntry]:
        publisher = self._publisher(request)
        entry = self._state.modules.get(publisher, request.name)
        if entry is None:
            msg = f"{name_of(self._state, publisher)} has published no module {request.name!r}"
            raise OperationError("not_found", msg, "`ambientctl module search` lists what there is")
        return publisher, entry

    def _find_one(self, request: values.OneVersion) -> tuple[NodeId, ModuleEntry, ModuleVersion]:
        """Find exactly one version; a pin that means something else by its name is an error."""
        publisher, entry = self._find(request)
        version = next((each for each in entry.versions if each.version == request.version), None)
        if version is None:
            raise _no_version(entry, request, request.version)
        pin = self._parts.pins.of(publisher, request.name, request.version)
        told = (version.module.hex(), version.manifest.hex())
        if pin is not None and (pin.module, pin.manifest) != told:
            msg = f"{_written(request)}@{request.version} was pinned as another module"
            hint = f"modules.lock has {pin.module[:12]}, this cluster {told[0][:12]}"
            raise OperationError("rejected", msg, hint)
        return publisher, entry, version

    async def _bring(self, publisher: NodeId, name: str, version: ModuleVersion) -> None:
        if version.module_size_bytes > self._module_bytes_max:
            msg = f"the module has {version.module_size_bytes} bytes, more than this node takes"
            raise OperationError("too_large", msg, "raise [limits] module_bytes_max")
        try:
            await self._manifest_of(publisher, name, version)
        except RemoteProtocolError as error:
            raise OperationError("unavailable", str(error), _WHEN_UP) from error
        blobs, size_bytes = self._parts.blobs, version.module_size_bytes
        data = await blobs.fetch(version.module, size_bytes, [publisher])
        if data is None or len(data) != size_bytes:
            msg = f"nobody who can be reached holds {name}@{version.version}"
            raise OperationError("unavailable", msg, _WHEN_UP)

    async def _manifest_of(self, publisher: NodeId, name: str, version: ModuleVersion) -> Manifest:
        """Give what the publisher signed; raise RemoteProtocolError without it."""
        blobs = self._parts.blobs
        data = await blobs.fetch(version.manifest, MANIFEST_BYTES_MAX, [publisher])
        if data is None:
            raise RemoteProtocolError("nobody who can be reached holds its manifest")
        manifest = read_manifest(data, self._state.cluster)
        told = (publisher, name, version.version, version.module, version.module_size_bytes)
        if told != (
            manifest.publisher,
            manifest.name,
            manifest.version,
            manifest.module,
            manifest.module_size_bytes,
        ):
            raise RemoteProtocolError("its manifest tells of another module than the ledger does")
        return manifest

    async def _info(
        self, publisher: NodeId, name: str, entry: ModuleEntry, version: ModuleVersion
    ) -> values.ModuleInfo:
        manifest, problem = None, ""
        try:
            manifest = manifest_info(await self._manifest_of(publisher, name, version))
        except RemoteProtocolError as error:
            problem = str(error)
        line = module_line(self._state, publisher, name)
        image = await image_info(self._parts, version.module)
        return values.ModuleInfo(
            publisher=line.publisher,
            publisher_name=line.publisher_name,
            convicted=line.convicted,
            name=name,
            summary=line.summary,
            shown=version_info(version),
            manifest=manifest,
            problem=problem,
            here=await self._parts.blobs.has(version.module),
            pinned=self._parts.pins.of(publisher, name, version.version) is not None,
            versions=tuple(version_info(each) for each in reversed(entry.versions)),
            published_as=published_as(self._state, version.module),
            image=image if image.words else None,
        )

    def _is_taken(self, body: Publish) -> bool:
        entry = self._state.modules.get(self._id, body.name)
        versions = () if entry is None else entry.versions
        told = (body.version, body.manifest, body.module)
        return told in ((each.version, each.manifest, each.module) for each in versions)

    async def _say(self, body: Publish | Yank) -> None:
        """Bring this node's word into the log, and wait until the ledger has it."""
        about = (self._id, body.name, body.version)

        def is_done(event: object) -> bool:
            return isinstance(event, ModulePublished | ModuleYanked) and (
                about == (event.publisher, event.name, event.version)
            )

        async with self._speaking:
            fault = fault_of(self._parts, self._id, body, take)
            if fault is None:
                event = await outcome_of(self._parts, self._id, body, is_done)
                fault = event.reason if isinstance(event, RecordRejected) else None
        if fault is not None:
            is_short = self._state.balance_msat(self._id) < PUBLISH_FEE_MSAT
            hint = hint_on_means(self._state, self._id) if is_short else ""
            raise OperationError("rejected", f"it was refused: {fault}", hint)
        if event is None:
            hint = "is a quorum of its members up? see `ambientctl nodes`; asking again is safe"
            raise OperationError("unavailable", NOT_IN_TIME, hint)


_WHEN_UP = "ask again when its publisher, or a node that has pinned it, is up"


def _written(request: values.NamedModule) -> str:
    return f"{request.publisher}/{request.name}"


def _no_version(entry: ModuleEntry, request: values.NamedModule, version: str) -> OperationError:
    newest = chosen(entry, "")
    msg = f"{_written(request)} has no version {version}".rstrip()
    hint = "" if newest is None else f"the newest is {newest.version}"
    return OperationError("not_found", msg, hint)
