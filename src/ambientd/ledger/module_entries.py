"""What the ledger holds of published modules (protocols/15-modules.md section 3)."""

from ambientd.model.base import Digest, Value


class ModuleVersion(Value, frozen=True):
    """One published version; `yanked` is why its publisher advises against it, or nothing."""

    version: str
    manifest: Digest
    module: Digest
    module_size_bytes: int
    published_ms: int
    yanked: str = ""


class ModuleEntry(Value, frozen=True):
    """A publisher's module: what it is for, and its versions in the order in which they came."""

    summary: str
    versions: tuple[ModuleVersion, ...]


class PublisherEntry(Value, frozen=True):
    """How many names a publisher has given."""

    modules: int = 0
