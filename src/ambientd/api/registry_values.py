"""What is asked about published modules, and what is answered (protocols/15-modules.md)."""

from typing import Annotated

from msgspec import Meta

from ambientd.api.image_values import ImageInfo
from ambientd.api.replies import Reply
from ambientd.api.requests import Count, Cursor, NodeName, PageSize, Request, Sha256

ModuleName = Annotated[str, Meta(max_length=63)]
Version = Annotated[str, Meta(max_length=32)]
Line = Annotated[str, Meta(max_length=256)]


class ListModules(Request, frozen=True):
    """Which modules are published with this text in name, summary or publisher? By name."""

    text: Line = ""
    limit: PageSize = 50
    after: Cursor = ""


class NamedModule(Request, frozen=True):
    """A publisher's module: the publisher's id, an unambiguous start of it, or its name."""

    publisher: NodeName
    name: ModuleName


class ShowModule(NamedModule, frozen=True):
    """Everything about one version; without a version, about the newest that can be advised."""

    version: Version = ""


class OneVersion(NamedModule, frozen=True):
    """Exactly one version of a module."""

    version: Version


class BringModule(OneVersion, frozen=True):
    """Have the module's bytes on this node, checked against the ledger, to run it by SHA-256.

    Without a version it is the one that is pinned here.
    """

    version: Version = ""


class PinModule(OneVersion, frozen=True):
    """Keep a version's bytes on this node, and hold its written name to its key and SHA-256."""


class UnpinModule(OneVersion, frozen=True):
    """Let a pinned version go."""


class YankModule(OneVersion, frozen=True):
    """Advise against a version that this node published; it stays with what it names."""

    reason: Line


class PublishModule(Request, frozen=True):
    """Publish a version of a module as this node, for a fee; its name then means it for ever.

    Limits are what a task asks for unless its submitter says otherwise; a price of 0 advises
    nothing. The module comes as bytes, or as the SHA-256 of a blob that is on this node.
    """

    name: ModuleName
    version: Version
    summary: Line
    interface: Annotated[str, Meta(pattern="^(ambient|wasi)$")]
    gas_max: Count
    memory_bytes_max: Count
    wall_ms_max: Count
    output_bytes_max: Count
    licence: Line
    price_msat_per_mgas: Count = 0
    source_url: Line = ""
    source_sha256: Sha256 | None = None
    module: bytes = b""
    module_sha256: Sha256 | None = None


class ModuleLine(Reply, frozen=True):
    """A published module in a list; `version` is the newest that can be advised, or empty."""

    publisher: str
    publisher_name: str
    name: str
    version: str
    summary: str
    versions: int
    convicted: bool


class Modules(Reply, frozen=True):
    """Published modules, by name."""

    modules: tuple[ModuleLine, ...]
    total: int
    next: str | None = None


class VersionInfo(Reply, frozen=True):
    """One version as the ledger has it; `yanked` is why its publisher advises against it."""

    version: str
    module_sha256: str
    module_size_bytes: int
    manifest_sha256: str
    published_ms: int
    yanked: str = ""


class ManifestInfo(Reply, frozen=True):
    """What the publisher signed besides; nobody else vouches for any of it."""

    interface: str
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int
    price_msat_per_mgas: int
    licence: str
    source_url: str
    source_sha256: str | None

    def terms(self) -> dict[str, int]:
        """Give what a task asks for unless its submitter says otherwise."""
        return {
            "gas_max": self.gas_max,
            "memory_bytes_max": self.memory_bytes_max,
            "wall_ms_max": self.wall_ms_max,
            "output_bytes_max": self.output_bytes_max,
            "price_msat_per_mgas": self.price_msat_per_mgas,
        }


class ModuleInfo(Reply, frozen=True):
    """One version of a module, and which others there are, the newest first.

    Without a manifest, `problem` says why it is not known. `here` says whether its bytes are on
    this node, `pinned` whether they stay.
    """

    publisher: str
    publisher_name: str
    convicted: bool
    name: str
    summary: str
    shown: VersionInfo
    manifest: ManifestInfo | None
    problem: str
    here: bool
    pinned: bool
    versions: tuple[VersionInfo, ...]
    published_as: tuple[str, ...] = ()
    """All names of these bytes, this one among them, as PUBLISHER/NAME@VERSION with whole ids."""
    image: ImageInfo | None = None
    """What nodes say of the module's own image; None where nobody has named one."""


class ModulePublished(Reply, frozen=True):
    """A version that is in the ledger."""

    publisher: str
    name: str
    version: str
    module_sha256: str
    manifest_sha256: str
    fee_msat: int


class Unpinned(Reply, frozen=True):
    """A version that may go when nothing has used it for long."""

    publisher: str
    name: str
    version: str
