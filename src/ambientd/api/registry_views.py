"""Published modules in the shapes that callers see."""

from ambientd.api import registry_values as values
from ambientd.ledger.module_entries import ModuleEntry, ModuleVersion
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.module import Manifest
from ambientd.rules.versions import is_prerelease, version_order


def chosen(entry: ModuleEntry, version: str) -> ModuleVersion | None:
    """Give the named version or, where none is named, the newest that can be advised.

    Nobody is advised to take a yanked version, or a pre-release; without others it is the newest.
    """
    if version:
        return next((each for each in entry.versions if each.version == version), None)
    return max(
        entry.versions,
        key=lambda each: (_is_advised(each), version_order(each.version)),
        default=None,
    )


def _is_advised(version: ModuleVersion) -> bool:
    return not version.yanked and not is_prerelease(version.version)


def module_line(state: LedgerState, publisher: NodeId, name: str) -> values.ModuleLine:
    """Give a module's line in a list."""
    entry, node = state.modules.get(publisher, name), state.node(publisher)
    assert entry is not None, "the index lists what there is"
    assert node is not None, "only nodes publish"
    newest = chosen(entry, "")
    return values.ModuleLine(
        publisher=publisher.hex(),
        publisher_name=node.profile.name,
        name=name,
        version=newest.version if newest is not None and _is_advised(newest) else "",
        summary=entry.summary,
        versions=len(entry.versions),
        convicted=node.tombstoned,
    )


def published_as(state: LedgerState, module: Digest) -> tuple[str, ...]:
    """Give the names under which these bytes are published, with whole ids, as names may repeat."""
    found = state.modules.published_as(module)
    return tuple(f"{node.hex()}/{name}@{version.version}" for node, name, version in found)


def version_info(version: ModuleVersion) -> values.VersionInfo:
    """Give a version as the ledger has it."""
    return values.VersionInfo(
        version=version.version,
        module_sha256=version.module.hex(),
        module_size_bytes=version.module_size_bytes,
        manifest_sha256=version.manifest.hex(),
        published_ms=version.published_ms,
        yanked=version.yanked,
    )


def manifest_info(manifest: Manifest) -> values.ManifestInfo:
    """Give what only the manifest says."""
    return values.ManifestInfo(
        interface=manifest.interface,
        gas_max=manifest.gas_max,
        memory_bytes_max=manifest.memory_bytes_max,
        wall_ms_max=manifest.wall_ms_max,
        output_bytes_max=manifest.output_bytes_max,
        price_msat_per_mgas=manifest.price_msat_per_mgas,
        licence=manifest.licence,
        source_url=manifest.source_url,
        source_sha256=manifest.source_sha256.hex() or None,
    )
