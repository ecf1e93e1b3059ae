"""A file of words vouches for an image where f + 1 members say so, and for nothing else."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_image_claim
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.model.image import NO_IMAGE, ImageClaim, ImageFile
from ambientd.node.stops import follow_epochs
from ambientd.rules.file_checks import EPOCHS_MAX
from ambientd.rules.images import CLAIMS_MAX, FILE_VERSION, TRANSLATION, Vouched, read_image_file
from ambientd.runtime.persistence import ends_of
from ambientd.wasm.prepare import REWRITER_VERSION
from scripts.proof_image import translation
from tests.ledger.cluster import TestCluster
from tests.ledger.imaging import FALSE, MODULE, TRUE
from tests.node.three_epochs import three_epochs

CLUSTER = TestCluster()


def says(author: int, image: Digest = TRUE, module: Digest = MODULE) -> ImageClaim:
    return sign_image_claim(CLUSTER.signer(author), module, TRANSLATION, image)


def file_of(*claims: ImageClaim, **changes: object) -> bytes:
    file = ImageFile(version=FILE_VERSION, genesis=CLUSTER.genesis, epochs=(), claims=claims)
    return encode(replace(file, **changes))


def read(data: bytes, module: Digest = MODULE) -> Vouched:
    return read_image_file(data, module, follow_epochs)


def test_the_translation_that_is_named_is_that_of_these_sources() -> None:
    assert translation() == TRANSLATION


def test_a_new_translation_comes_with_a_new_version_of_what_prepares_modules() -> None:
    """Else members of the program before and after find each other's honest proofs wrong."""
    began = {3: "009b84654a6767a357ad4fce0b74a932739d6bbcf13aceacb359d37999fe5c81"}
    assert began[REWRITER_VERSION] == TRANSLATION.hex(), "raise both, and add a line"


def test_f_plus_one_members_vouch_and_are_named() -> None:
    vouched = read(file_of(says(0, FALSE), says(1), says(2), says(9)))
    assert (vouched.image, vouched.cluster, vouched.members) == (TRUE, CLUSTER.id, 4)
    assert set(vouched.words) == {CLUSTER.node(1), CLUSTER.node(2)}
    for each in vouched.words:
        assert each.hex()[:12] in vouched.trust_text
    assert CLUSTER.id.hex() in vouched.trust_text
    assert "2 of the 4 members in epoch 1" in vouched.trust_text


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ((), "no 2 of 4 members say the same: 0 do"),
        ((says(1),), "no 2 of 4 members say the same: 1 do"),
        ((says(1), says(1)), "no 2 of 4 members say the same: 1 do"),
        ((says(1), says(2, FALSE)), "no 2 of 4 members say the same: 1 do"),
        ((says(1), says(9), says(8)), "no 2 of 4 members say the same: 1 do"),
        ((says(0), says(1), says(2, FALSE), says(3, FALSE)), "no 2 of 4 members say the same"),
        ((says(1), says(2, module=Digest(sha256(b"other")))), "of another module"),
        ((says(1), replace(says(2), translation=Digest(bytes(32)))), "another translation"),
        ((says(1), replace(says(2), image=FALSE)), "has not signed its word"),
        ((says(1), replace(says(2), author=CLUSTER.node(3))), "has not signed its word"),
        ((says(1, NO_IMAGE), says(2, NO_IMAGE)), "has not signed its word"),
    ],
)
def test_fewer_strangers_and_forged_words_vouch_for_nothing(
    claims: tuple[ImageClaim, ...], reason: str
) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        read(file_of(*claims))


def test_words_of_one_cluster_are_nothing_under_the_name_of_another() -> None:
    other = TestCluster(members=5)
    with pytest.raises(RemoteProtocolError, match="has not signed its word"):
        read(file_of(says(1), says(2), genesis=other.genesis))


def test_a_file_that_is_none_is_refused_whatever_was_changed() -> None:
    good = file_of(says(1), says(2))
    with pytest.raises(RemoteProtocolError, match="of version 7"):
        read(file_of(says(1), says(2), version=7))
    with pytest.raises(RemoteProtocolError):
        read(file_of(says(1), says(2), epochs=(b"no epoch",)))
    with pytest.raises(RemoteProtocolError, match="claims"):
        read(file_of(*[says(1)] * (CLAIMS_MAX + 1)))
    with pytest.raises(RemoteProtocolError, match="epochs"):
        read(file_of(says(1), says(2), epochs=(b"",) * (EPOCHS_MAX + 1)))
    for at in range(0, len(good), 37):
        bent = bytearray(good)
        bent[at] ^= 1
        with pytest.raises(RemoteProtocolError):
            read(bytes(bent))


def test_who_names_the_cluster_takes_no_other_word_for_it() -> None:
    from ambientd.api.image_files import read_images

    module = b"a module"
    named = Digest(sha256(module))
    data = file_of(says(1, module=named), says(2, module=named))
    assert read_images(data, named, CLUSTER.id).image == TRUE
    with pytest.raises(UsageError, match="you believe 00"):
        read_images(data, named, bytes(32))
    with pytest.raises(UsageError, match="the file vouches for no image"):
        read_images(data, Digest(sha256(b"another module")), None)


def test_words_of_who_has_left_are_nothing_to_whoever_knows_a_later_epoch() -> None:
    """The fourth founder has left and lies with the first: f + 1 of the founders, for ever."""
    cluster = three_epochs()
    ends = tuple(encode(end) for end in ends_of(cluster.hosts[0].store))
    followed = follow_epochs(cluster.genesis, ends)
    assert not isinstance(followed, str)

    def said(*nodes: int, count: int = 0) -> bytes:
        signers = [cluster.hosts[number].signer for number in nodes]
        claims = tuple(sign_image_claim(each, MODULE, TRANSLATION, TRUE) for each in signers)
        return encode(ImageFile(FILE_VERSION, cluster.genesis, ends[:count], claims))

    forged = said(0, 3)
    found = read_image_file(forged, MODULE, follow_epochs)
    assert (found.epoch, found.trusted) == (1, None)
    assert "can still sign" in found.trust_text
    for known in followed:
        with pytest.raises(RemoteProtocolError, match="no epoch on the way from the founders has"):
            read_image_file(forged, MODULE, follow_epochs, known.hash)
        assert (
            "can still sign"
            not in read_image_file(
                said(0, 1, count=2), MODULE, follow_epochs, known.hash
            ).trust_text
        )
    with pytest.raises(RemoteProtocolError, match="no 2 of 4 members say the same: 1 do"):
        read_image_file(said(0, 3, count=2), MODULE, follow_epochs, followed[1].hash)
    found = read_image_file(said(1, 4, count=2), MODULE, follow_epochs, followed[0].hash)
    assert (found.epoch, found.trusted, len(found.words)) == (3, 2, 2)
