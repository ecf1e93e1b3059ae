"""A module's image is what f + 1 members found; who named another is believed no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_record, verify_image_claim
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import check_admissible, is_admissible, may_propose
from ambientd.ledger.entries import image_key
from ambientd.ledger.image_events import ImageDecided, ImageDenied, ImageNamed
from ambientd.ledger.images import doubted_image, image_row, own_image
from ambientd.model.base import Digest
from ambientd.model.image import IMAGE_FEE_MSAT, IMAGES_MAX, NO_IMAGE
from ambientd.model.record import ImageClaimed, SeatWish, Transfer
from ambientd.rules.images import CLAIMS_MAX
from ambientd.rules.images import TRANSLATION as THIS
from ambientd.rules.verdicts import liars_max
from tests.ledger.cluster import GRANT_MSAT, TestCluster, rejections
from tests.ledger.imaging import FALSE, MODULE, TRANSLATION, TRUE, author_of, gone_over, named, row
from tests.ledger.test_seats import asked, decide, said, stop


def test_the_first_word_on_a_module_is_paid_for_and_decides_nothing() -> None:
    cluster = gone_over(guests=1)
    cluster.block((0, Transfer(to=cluster.node(4), amount_msat=IMAGE_FEE_MSAT, said_ms=1)))
    pool_msat = cluster.state.meta.fee_pool_msat
    events = cluster.block(named(cluster, 4))
    assert events == [ImageNamed(MODULE, TRANSLATION, TRUE, cluster.node(4))]
    assert cluster.state.balance_msat(cluster.node(4)) == 0
    assert cluster.state.meta.fee_pool_msat == pool_msat + IMAGE_FEE_MSAT
    entry = row(cluster)
    assert entry is not None
    assert (entry.is_decided, entry.image) == (False, NO_IMAGE)
    assert cluster.block(named(cluster, 4)) == [], "the same again is nothing new, and free"


def test_f_plus_one_members_that_find_the_same_decide_and_pay_nothing() -> None:
    cluster = gone_over(guests=1)
    cluster.block((0, Transfer(to=cluster.node(4), amount_msat=IMAGE_FEE_MSAT, said_ms=1)))
    cluster.block(named(cluster, 4))
    before = cluster.state.balance_msat(cluster.node(1))
    assert cluster.block(named(cluster, 1)) == [
        ImageNamed(MODULE, TRANSLATION, TRUE, cluster.node(1))
    ]
    events = cluster.block(named(cluster, 2))
    assert events[-1] == ImageDecided(MODULE, TRANSLATION, TRUE)
    assert cluster.state.balance_msat(cluster.node(1)) == before
    entry = row(cluster)
    assert entry is not None
    assert (entry.image, entry.decided_ms) == (TRUE, cluster.time_ms)
    assert [each.author for each in entry.claims] == [cluster.node(n) for n in (4, 1, 2)]
    assert all(verify_image_claim(each, cluster.id) for each in entry.claims)
    assert cluster.block(named(cluster, 3)) == [
        ImageNamed(MODULE, TRANSLATION, TRUE, cluster.node(3))
    ], "what is decided is decided, and stood by"
    assert cluster.block(named(cluster, 3)) == []
    [reason] = rejections(cluster.block(named(cluster, 0, FALSE)))
    assert reason == f"members have found {TRUE.hex()}"


def test_who_names_a_false_image_is_named_and_names_none_any_more() -> None:
    cluster = gone_over()
    cluster.block(named(cluster, 0, FALSE))
    bond_msat = cluster.state.node(cluster.node(0)).bond_msat  # type: ignore[union-attr]
    cluster.block(named(cluster, 1))
    events = cluster.block(named(cluster, 2))
    assert events[-2:] == [
        ImageDecided(MODULE, TRANSLATION, TRUE),
        ImageDenied(MODULE, FALSE, cluster.node(0)),
    ]
    assert author_of(cluster, 0).denied == MODULE
    other = Digest(sha256(b"another module"))
    [reason] = rejections(cluster.block(named(cluster, 0, TRUE, other)))
    assert "members have found another image of" in reason
    liar = cluster.state.node(cluster.node(0))
    assert liar is not None
    assert (liar.bond_msat, liar.tombstoned) == (bond_msat, False), "no bond hangs on a compiler"
    assert cluster.state.balance_msat(cluster.node(0)) == GRANT_MSAT - IMAGE_FEE_MSAT


def test_one_lying_member_of_four_decides_nothing_and_blocks_nothing() -> None:
    cluster = gone_over()
    cluster.block(named(cluster, 1), named(cluster, 0, FALSE))
    entry = row(cluster)
    assert entry is not None
    assert not entry.is_decided
    events = cluster.block(named(cluster, 3))
    assert ImageDenied(MODULE, FALSE, cluster.node(0)) in events


def test_the_word_of_who_was_denied_counts_nowhere() -> None:
    cluster = gone_over()
    other = Digest(sha256(b"another module"))
    cluster.block(named(cluster, 0, FALSE), named(cluster, 0, FALSE, other))
    cluster.block(named(cluster, 1), named(cluster, 2))
    assert author_of(cluster, 0).denied
    cluster.block(named(cluster, 3, FALSE, other))
    entry = row(cluster, other)
    assert entry is not None
    assert not entry.is_decided, "one of the two who say so is believed no more"


def test_a_node_says_one_thing_of_a_module() -> None:
    cluster = gone_over()
    cluster.block(named(cluster, 0))
    [reason] = rejections(cluster.block(named(cluster, 0, FALSE)))
    assert reason == f"the author has said {TRUE.hex()} before"


def test_only_members_say_what_they_find() -> None:
    cluster = gone_over(guests=1)
    cluster.block(named(cluster, 0))
    [reason] = rejections(cluster.block(named(cluster, 4)))
    assert "only committee members" in reason


def test_words_that_are_false_in_form_change_nothing() -> None:
    cluster = gone_over()
    _, body = named(cluster, 1)
    forged = replace(body, claim=replace(body.claim, image=FALSE))
    cases: list[tuple[tuple[int, ImageClaimed], str]] = [
        ((0, body), "what another node says"),
        ((1, forged), "wrong signature"),
        (named(cluster, 1, NO_IMAGE), "the name of no image"),
    ]
    for word, expected in cases:
        [reason] = rejections(cluster.block(word))
        assert expected in reason
    assert row(cluster) is None
    cluster.block(named(cluster, 0))
    [reason] = rejections(cluster.block((1, forged)))
    assert "wrong signature" in reason


def test_naming_is_bounded_by_the_balance_and_by_a_number() -> None:
    cluster = gone_over(guests=1)
    [reason] = rejections(cluster.block(named(cluster, 4)))
    assert reason == f"naming an image costs {IMAGE_FEE_MSAT} msat, the author has 0"
    modules = [Digest(sha256(b"%d" % number)) for number in range(IMAGES_MAX + 1)]
    for module in modules[:-1]:
        assert not rejections(cluster.block(named(cluster, 1, module=module)))
    [reason] = rejections(cluster.block(named(cluster, 1, module=modules[-1])))
    assert f"the first to name {IMAGES_MAX} images" in reason


def test_in_the_state_version_before_nobody_names_images_and_nobody_votes_for_one() -> None:
    cluster = TestCluster()
    author, body = named(cluster, 0)
    record = sign_record(cluster.signer(author), body)
    [reason] = rejections(cluster.apply([record]))
    assert reason == "the state is of version 1: images begin with version 2"
    assert row(cluster) is None
    assert not may_propose(record, cluster.state)
    assert not is_admissible(encode(record), cluster.id, 1)
    with pytest.raises(RemoteProtocolError, match="begins with state version 2, in one of 1"):
        check_admissible(encode(record), cluster.id, 1)
    later = gone_over()
    _, body = named(later, 0)
    record = sign_record(later.signer(0), body)
    assert is_admissible(encode(record), later.id, 2)
    assert may_propose(record, later.state)


@given(st.integers(1, 7), st.data())
def test_whatever_is_said_in_whatever_order_f_liars_decide_nothing_and_cost_nobody_anything(
    members: int, data: st.DataObject
) -> None:
    cluster = gone_over(members)
    liars = data.draw(st.sets(st.integers(0, members - 1), max_size=liars_max(members)))
    order = data.draw(st.permutations(range(members)))
    paid = cluster.state.total_msat()
    for number in order:
        cluster.block(named(cluster, number, FALSE if number in liars else TRUE))
    entry = row(cluster)
    assert entry is not None
    assert entry.image == TRUE, "all honest ones have spoken"
    denied = {n for n in range(members) if author_of(cluster, n).denied}
    assert denied <= liars
    assert denied == {n for n in liars if cluster.node(n) in {e.author for e in entry.claims}}
    assert cluster.state.total_msat() == paid
    assert len(entry.claims) <= members
    assert cluster.restarted().root == cluster.state.root


def test_a_smaller_committee_decides_by_the_words_that_there_are() -> None:
    cluster = gone_over(7)
    cluster.block(named(cluster, 0), named(cluster, 1))
    entry = row(cluster)
    assert entry is not None
    assert not entry.is_decided, "f + 1 of 7 are 3"
    leave(cluster, 5, 6)
    assert len(cluster.state.members) == 5
    assert [type(each) for each in cluster.block(named(cluster, 0))] == [ImageDecided]
    entry = row(cluster)
    assert entry is not None
    assert entry.is_decided


@pytest.mark.parametrize(("members", "needed"), [(1, 1), (2, 2), (3, 2), (4, 2), (6, 2), (7, 3)])
def test_no_one_alone_decides_but_who_is_alone(members: int, needed: int) -> None:
    cluster = gone_over(members)
    for number in range(needed):
        entry = row(cluster)
        assert entry is None or not entry.is_decided
        cluster.block(named(cluster, number))
    entry = row(cluster)
    assert entry is not None
    assert entry.is_decided


def leave(cluster: TestCluster, *numbers: int) -> None:
    """Let members give up their seats, one after the other."""
    for number in numbers:
        cluster.block(said(cluster, number, number, SeatWish.OUT))
        while cluster.state.epoch_due is not None:
            stop(cluster)
        assert cluster.node(number) not in cluster.state.members


def test_what_was_decided_counts_while_enough_of_the_present_members_stand_by_it() -> None:
    cluster = gone_over(7)
    cluster.block(*(named(cluster, n, translation=THIS) for n in range(3)))
    assert own_image(cluster.state, MODULE) == TRUE
    leave(cluster, 0)
    assert own_image(cluster.state, MODULE) == TRUE, "two of six are enough"
    leave(cluster, 1)
    assert own_image(cluster.state, MODULE) is None, "one of five is not"
    assert doubted_image(cluster.state, MODULE) == TRUE
    entry = image_row(cluster.state, MODULE)
    assert entry is not None
    assert len(entry.claims) == 3, "strangers are shown what led to the decision"
    assert cluster.block(named(cluster, 3, translation=THIS)) == [
        ImageNamed(MODULE, THIS, TRUE, cluster.node(3))
    ]
    assert (own_image(cluster.state, MODULE), doubted_image(cluster.state, MODULE)) == (TRUE, None)
    entry = image_row(cluster.state, MODULE)
    assert entry is not None
    assert [each.author for each in entry.claims] == [cluster.node(n) for n in (0, 2, 3)]
    assert cluster.restarted().root == cluster.state.root


def test_a_committee_that_grows_asks_for_more_who_stand_by_what_was_decided() -> None:
    cluster = gone_over(6, guests=1)
    cluster.block(*(named(cluster, n, translation=THIS) for n in range(2)))
    assert own_image(cluster.state, MODULE) == TRUE
    cluster.block(asked(6))
    decide(cluster, 6, SeatWish.IN, range(5))
    stop(cluster)
    assert len(cluster.state.members) == 7
    assert doubted_image(cluster.state, MODULE) == TRUE
    cluster.block(named(cluster, 6, translation=THIS))
    assert own_image(cluster.state, MODULE) == TRUE


def test_the_words_in_a_row_stay_few_however_often_committees_change() -> None:
    cluster = gone_over(7)
    cluster.block(*(named(cluster, n, translation=THIS) for n in range(3)))
    key = image_key(MODULE, THIS)
    entry = image_row(cluster.state, MODULE)
    assert entry is not None
    strangers = tuple(
        replace(entry.claims[0], author=bytes([n]) * 32) for n in range(CLAIMS_MAX - 1)
    )
    full = replace(entry, claims=(entry.claims[0], *strangers))
    for state in (cluster.state, cluster.replica):
        state.commit(state.applied_index, {key: full}, state.tree)
    cluster.block(named(cluster, 3, translation=THIS))
    entry = image_row(cluster.state, MODULE)
    assert entry is not None
    assert [each.author for each in entry.claims] == [cluster.node(n) for n in (0, 3)]


def test_a_modules_own_image_is_what_was_decided_by_this_translation_and_nothing_before() -> None:
    cluster = gone_over()
    cluster.block(named(cluster, 0, translation=THIS))
    assert own_image(cluster.state, MODULE) is None, "one word is nobody's"
    cluster.block(
        named(cluster, 1, translation=TRANSLATION), named(cluster, 2, translation=TRANSLATION)
    )
    assert own_image(cluster.state, MODULE) is None, "another translation's is another row"
    cluster.block(named(cluster, 1, translation=THIS))
    assert own_image(cluster.state, MODULE) == TRUE
    assert own_image(cluster.state, Digest(bytes(32))) is None
    cluster.block(named(cluster, 2, FALSE, translation=THIS))
    assert own_image(cluster.state, MODULE) == TRUE, "what is decided stays"
    assert own_image(TestCluster().state, MODULE) is None, "state version 1 has none"
