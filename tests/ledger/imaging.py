"""A cluster in state version 2, and words on images of modules."""

from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_image_claim
from ambientd.ledger.entries import Table, image_key
from ambientd.ledger.proof_entries import ImageAuthor, ImageEntry
from ambientd.ledger.versions import IMAGES_VERSION
from ambientd.model.base import Digest
from ambientd.model.record import ImageClaimed, VersionKnown
from tests.ledger.cluster import TestCluster

MODULE = Digest(sha256(b"module"))
TRANSLATION = Digest(sha256(b"translation"))
TRUE = Digest(sha256(b"true image"))
FALSE = Digest(sha256(b"false image"))


def gone_over(members: int = 4, guests: int = 0) -> TestCluster:
    """Give a cluster whose members all know version 2, in the epoch that began with it."""
    cluster = TestCluster(members)
    for number in range(guests):
        cluster.block(cluster.join(members + number, invite=900 + number))
    go_over(cluster)
    return cluster


def go_over(cluster: TestCluster) -> None:
    """Let all members say that they know version 2, and the epoch begin with it."""
    seated = [n for n in range(cluster.members) if cluster.node(n) in cluster.state.members]
    word = VersionKnown(version=IMAGES_VERSION, said_ms=1)
    cluster.block(*((number, word) for number in seated))
    due = cluster.state.epoch_due
    assert due is not None
    cluster.block((0, due))
    cluster.block()
    assert cluster.state.version == IMAGES_VERSION


def named(
    cluster: TestCluster,
    author: int,
    image: Digest = TRUE,
    module: Digest = MODULE,
    translation: Digest = TRANSLATION,
) -> tuple[int, ImageClaimed]:
    """Give a node's word on a module's image."""
    claim = sign_image_claim(cluster.signer(author), module, translation, image)
    return author, ImageClaimed(claim=claim)


def row(cluster: TestCluster, module: Digest = MODULE) -> ImageEntry | None:
    """Give what the ledger has of a module's image."""
    found = cluster.state.get(image_key(module, TRANSLATION))
    assert found is None or isinstance(found, ImageEntry)
    return found


def author_of(cluster: TestCluster, number: int) -> ImageAuthor:
    """Give how a node stands that names images."""
    found = cluster.state.get((Table.IMAGE_AUTHOR, cluster.node(number)))
    assert found is None or isinstance(found, ImageAuthor)
    return found or ImageAuthor()
