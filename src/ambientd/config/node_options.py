"""What the owner of a node says it is: the section `node` of config.toml."""

from typing import Annotated

import msgspec
from msgspec import Meta

from ambientd.model.genesis import Label, NodeKind, Profile


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One section of config.toml."""


class NodeOptions(Options, frozen=True):
    """Who this node is. Its identity is the key file beside this one, not a name."""

    name: Annotated[
        str,
        Meta(
            max_length=63,
            pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$",
            description="A name for people: letters, digits, '.', '_' and '-'.",
        ),
    ] = "node"
    region: Annotated[
        str,
        Meta(
            max_length=63,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="Where the device stands, in a word.",
        ),
    ] = "local"
    kind: Annotated[NodeKind, Meta(description="What sort of device this is.")] = NodeKind.COMPUTE
    owner: Annotated[
        str,
        Meta(
            max_length=63,
            pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$",
            description="Whose device it is, in a word: replicas of a task go to different owners. "
            "The cluster knows it, as all of this, from the join on.",
        ),
    ] = ""
    labels: Annotated[
        tuple[Annotated[str, Meta(max_length=96, pattern=r"^[^=]+=[^=]+$")], ...],
        Meta(max_length=16, description='What submitters can ask for, as "key=value".'),
    ] = ()
    refuses: Annotated[
        tuple[Annotated[str, Meta(max_length=32)], ...],
        Meta(max_length=16, description="Classes of tasks that this node takes none of."),
    ] = ()

    @property
    def profile(self) -> Profile:
        """Give what this node says of itself when it joins."""
        pairs = (text.partition("=") for text in self.labels)
        return Profile(
            name=self.name,
            region=self.region,
            kind=self.kind,
            owner=self.owner,
            labels=tuple(Label(key=key, value=value) for key, _, value in pairs),
            refuses=self.refuses,
        )
