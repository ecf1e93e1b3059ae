"""A node says what a module's image is, hears what became of that, and shows whose word it is."""

from types import SimpleNamespace
from typing import Any

import pytest

from ambientd.api.image_values import NameImage, ShowImage
from ambientd.api.imaging import Imaging
from ambientd.api.operations import OperationError
from ambientd.codec.canonical import decode
from ambientd.consensus.messages import EpochEnd, Header, QuorumCertificate
from ambientd.ledger.rejections import rejection_of
from ambientd.model.base import NodeId
from ambientd.model.image import IMAGE_FEE_MSAT, ImageFile
from ambientd.node.effect import Told
from ambientd.node.event import BodiesProposed
from ambientd.node.stops import follow_epochs
from ambientd.rules.images import FILE_BYTES_MAX, TRANSLATION, read_image_file
from ambientd.runtime.news import News
from tests.api.test_pegging import Pump
from tests.ledger.cluster import TestCluster
from tests.ledger.imaging import FALSE, MODULE, TRUE, gone_over

NAME = NameImage(module_sha256=MODULE.hex(), image=TRUE.hex())
SHOW = ShowImage(module_sha256=MODULE.hex())


class Writing(Pump):
    """A pump whose store has the proofs of no epoch but those that it is given."""

    ends: tuple[Any, ...] = ()

    @property
    def writer(self) -> Any:
        async def call(_: object) -> tuple[Any, ...]:
            return self.ends

        return SimpleNamespace(call=call)


def ended(time_ms: int, record: bytes = b"how an epoch ended") -> EpochEnd:
    """Give an epoch's end as the store has it, of which nothing is verified here."""
    header = Header(1, 1, bytes(32), time_ms, bytes(32), bytes(32), bytes(32), bytes(32))
    certificate = QuorumCertificate(header.position, 0, bytes(32), ())
    return EpochEnd(record, ((header, certificate),) * 2)


def node(cluster: TestCluster, number: int) -> Imaging:
    news = News()
    parts: Any = SimpleNamespace(
        node=SimpleNamespace(ledger=cluster.state),
        news=news,
        pump=Writing(cluster, number, news),
        now=lambda: cluster.time_ms,
    )
    return Imaging(cluster.signer(number), parts)


async def test_the_first_word_costs_and_the_others_decide_for_nothing() -> None:
    cluster = gone_over()
    first = await node(cluster, 0).name(NAME)
    assert (first.fee_msat, first.image, first.needed) == (IMAGE_FEE_MSAT, "", 2)
    assert first.translation == TRANSLATION.hex()
    again = await node(cluster, 0).name(NAME)
    assert again.fee_msat == 0
    second = await node(cluster, 1).name(NAME)
    assert (second.fee_msat, second.image) == (0, TRUE.hex())
    assert [each.name[:6] for each in second.words] == ["node-0", "node-1"]
    assert all(each.is_member and not each.denied for each in second.words)


async def test_who_says_otherwise_is_shown_as_denied_and_refused_from_then_on() -> None:
    cluster = gone_over()
    liar = node(cluster, 3)
    await liar.name(NameImage(module_sha256=MODULE.hex(), image=FALSE.hex()))
    for number in (0, 1):
        await node(cluster, number).name(NAME)
    info = await liar.show(SHOW)
    assert [each.denied for each in info.words] == [True, False, False]
    with pytest.raises(OperationError, match="members have found another image of"):
        await liar.name(NameImage(module_sha256="ab" * 32, image=TRUE.hex()))


async def test_the_file_is_of_what_was_decided_and_vouches_for_it() -> None:
    cluster = gone_over()
    own = node(cluster, 0)
    await own.name(NAME)
    with pytest.raises(
        OperationError, match="2 members must say the same of this module, and 1 node spoke"
    ):
        await own.show(ShowImage(module_sha256=MODULE.hex(), with_file=True))
    await node(cluster, 1).name(NAME)
    info = await own.show(ShowImage(module_sha256=MODULE.hex(), with_file=True))
    assert info.file is not None
    vouched = read_image_file(info.file, MODULE, follow_epochs)
    assert (vouched.image, vouched.cluster) == (TRUE, cluster.id)


async def test_the_file_leads_to_the_last_committee_of_which_enough_agree() -> None:
    cluster = gone_over()
    own = node(cluster, 0)
    for number in (0, 1):
        await node(cluster, number).name(NAME)
    own._parts.pump.ends = (ended(1),)  # type: ignore[attr-defined]
    info = await own.show(ShowImage(module_sha256=MODULE.hex(), with_file=True))
    assert info.file is not None
    file: ImageFile = decode(info.file, ImageFile)
    assert len(file.epochs) == 1, "else whoever knows the second epoch does not find it"
    own._parts.pump.ends = (ended(1, b"x" * FILE_BYTES_MAX),)  # type: ignore[attr-defined]
    info = await own.show(ShowImage(module_sha256=MODULE.hex(), with_file=True))
    assert info.file is not None
    assert read_image_file(info.file, MODULE, follow_epochs).epoch == 1, "nobody reads a longer one"


async def test_it_tells_when_it_was_decided_and_in_which_epoch() -> None:
    cluster = gone_over()
    own = node(cluster, 0)
    own._parts.pump.ends = (ended(1),)  # type: ignore[attr-defined]
    info = await own.name(NAME)
    assert (info.decided_ms, info.decided_epoch) == (None, None)
    info = await node(cluster, 1).name(NAME)
    assert info.decided_ms == cluster.time_ms
    for stops, epoch in (
        ((cluster.time_ms - 1,), 2),
        ((cluster.time_ms,), 1),
        ((1, cluster.time_ms - 1, cluster.time_ms + 1), 3),
    ):
        own._parts.pump.ends = tuple(map(ended, stops))  # type: ignore[attr-defined]
        assert (await own.show(SHOW)).decided_epoch == epoch, stops


async def test_in_an_earlier_state_version_nothing_is_proposed() -> None:
    cluster = TestCluster()
    with pytest.raises(OperationError, match="images begin with version 2") as refused:
        await node(cluster, 0).name(NAME)
    assert "says_next_version" in refused.value.hint
    info = await node(cluster, 0).show(SHOW)
    assert (info.image, info.words) == ("", ())


async def test_its_own_rejection_is_told() -> None:
    cluster = gone_over()
    own = node(cluster, 0)

    class Refuses(Writing):
        async def post(self, event: BodiesProposed) -> None:
            author = NodeId(cluster.signer(0).public_key)
            self.news.tell(Told(rejection_of(author, event.bodies[0], "no"), 1, 0))

    own._parts.pump = Refuses(cluster, 0, own._parts.news)  # type: ignore[assignment]
    with pytest.raises(OperationError, match="it was refused: no"):
        await own.name(NAME)
