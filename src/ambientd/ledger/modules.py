"""Published modules: versions come, are advised against, and stay (protocols/15-modules.md)."""

from typing import cast

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import module_key, publisher_key
from ambientd.ledger.events import ModulePublished, ModuleYanked
from ambientd.ledger.module_entries import ModuleEntry, ModuleVersion, PublisherEntry
from ambientd.model.record import Publish, Record, Yank
from ambientd.rules.modules import (
    MODULES_MAX,
    PUBLISH_FEE_MSAT,
    VERSIONS_MAX,
    publish_fault,
    yank_fault,
)
from ambientd.rules.versions import line_fault


def take(draft: Draft, record: Record, body: Publish | Yank) -> str | None:
    """Take a publisher's word on one of its modules."""
    entry = draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted publish modules"
    return (
        _publish(draft, record, body) if isinstance(body, Publish) else _yank(draft, record, body)
    )


def _publish(draft: Draft, record: Record, body: Publish) -> str | None:
    """Add a version; one that is there already stays as it is."""
    author, key = record.author, module_key(record.author, body.name)
    fault = publish_fault(body)
    if fault is not None:
        return fault
    module = cast("ModuleEntry | None", draft.get(key))
    known = () if module is None else module.versions
    same = next((each for each in known if each.version == body.version), None)
    if same is not None:
        is_same = (same.manifest, same.module) == (body.manifest, body.module)
        return None if is_same else f"{body.version} is published already, as another module"
    fault = line_fault(body.version, (each.version for each in known))
    if fault is not None:
        return fault
    if len(known) >= VERSIONS_MAX:
        return f"{body.name} has {VERSIONS_MAX} versions, and a name has no more"
    publisher = cast("PublisherEntry", draft.get(publisher_key(author)) or PublisherEntry())
    if module is None and publisher.modules >= MODULES_MAX:
        return f"the author has {MODULES_MAX} modules, and a publisher has no more"
    balance = draft.balance_msat(author)
    if balance < PUBLISH_FEE_MSAT:
        return f"a version costs {PUBLISH_FEE_MSAT} msat, the author has {balance}"
    draft.credit(author, -PUBLISH_FEE_MSAT)
    draft.move_pool(PUBLISH_FEE_MSAT)
    if module is None:
        draft.put(publisher_key(author), PublisherEntry(modules=publisher.modules + 1))
    new = ModuleVersion(
        version=body.version,
        manifest=body.manifest,
        module=body.module,
        module_size_bytes=body.module_size_bytes,
        published_ms=draft.context.time_ms,
    )
    draft.put(key, ModuleEntry(summary=body.summary, versions=(*known, new)))
    draft.tell(ModulePublished(author, body.name, body.version, body.manifest))
    return None


def _yank(draft: Draft, record: Record, body: Yank) -> str | None:
    """Note why a version is advised against; the first reason stays."""
    key = module_key(record.author, body.name)
    module = cast("ModuleEntry | None", draft.get(key))
    fault = yank_fault(body)
    if fault is not None:
        return fault
    known = () if module is None else module.versions
    found = next((each for each in known if each.version == body.version), None)
    if module is None or found is None:
        return "the author has published no such version"
    if found.yanked:
        return None
    versions = tuple(replace(each, yanked=body.reason) if each is found else each for each in known)
    draft.put(key, replace(module, versions=versions))
    draft.tell(ModuleYanked(record.author, body.name, body.version, body.reason))
    return None
