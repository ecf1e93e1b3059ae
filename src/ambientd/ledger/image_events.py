"""What the ledger tells of modules' own images."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId


@dataclass(frozen=True, slots=True)
class ImageNamed:
    """A node says what a module's own image is."""

    module: Digest
    translation: Digest
    image: Digest
    author: NodeId


@dataclass(frozen=True, slots=True)
class ImageDecided:
    """So many members have found the same image that one of them is honest."""

    module: Digest
    translation: Digest
    image: Digest


@dataclass(frozen=True, slots=True)
class ImageDenied:
    """A node had named another image than the members found: it names none any more."""

    module: Digest
    image: Digest
    author: NodeId


ImageEvent: TypeAlias = ImageNamed | ImageDecided | ImageDenied
