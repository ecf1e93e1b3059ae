"""Bugs of the registry: a name does not mean what it meant, an image is taken from anybody."""

from collections.abc import Callable
from typing import cast

from msgspec.structs import replace

from ambientd.ledger import images, modules
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import module_key
from ambientd.ledger.module_entries import ModuleEntry
from ambientd.model.record import Publish, Record
from ambientd.rules import proofs
from sim.mutants.patch import Mutant, Patch, always, bug


def _replaces(publish: Callable[[Draft, Record, Publish], str | None]) -> object:
    """Publish a version again in the place of what it meant."""

    def published(draft: Draft, record: Record, body: Publish) -> str | None:
        key = module_key(record.author, body.name)
        entry = cast("ModuleEntry | None", draft.get(key))
        if entry is not None:
            others = tuple(each for each in entry.versions if each.version != body.version)
            draft.put(key, replace(entry, versions=others))
        return publish(draft, record, body)

    return published


REGISTRY_MUTANTS: tuple[Mutant, ...] = (
    bug(
        "replaces-versions",
        "lets a publisher replace what a version means",
        Patch(modules, "_publish", _replaces),
        scenario="node-modules",
    ),
    bug(
        "believes-one-image",
        "decides on a module's image by the word of one member",
        Patch(images, "vouching", always(1)),
        scenario="node-images",
    ),
    bug(
        "believes-any-image",
        "takes a proof by whatever image its prover names",
        Patch(proofs, "image_fault", always(None)),
        scenario="node-images",
        vice="foreign_image",
    ),
)
