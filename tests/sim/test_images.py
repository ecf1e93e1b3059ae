"""In worlds of whole nodes liars name false images: they are named, and none is decided."""

import pytest

from ambientd.ledger.evidence import EVIDENCE_OF_WRONG_PROOF
from ambientd.ledger.image_events import ImageDecided, ImageDenied, ImageNamed
from ambientd.ledger.images import doubted_image, own_image
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Assignment, Purpose
from ambientd.model.task import Verdict
from ambientd.rules.images import TRANSLATION
from ambientd.rules.proofs import UNIVERSAL_IMAGE
from sim.cluster import ClusterOptions, FastKit, build, run, watch
from sim.faults import Fault
from sim.hunt import hunt
from sim.images import TrueImages
from sim.plans import Plan, play
from sim.proofs import image_of, true_image
from sim.stage import Kit
from sim.trio_world.world import TrioKit
from sim.vices import Vice
from tests.sim.test_money import Heard


def test_members_go_over_to_version_2_and_find_images_in_fair_weather() -> None:
    options = ClusterOptions(1, joiners=0, faults=frozenset({Fault.IMAGES}), time_ms=40_000)
    world, cast, _, _ = build(options)
    heard, images = Heard(), TrueImages(frozenset(host.key for host in cast.honest))
    watch(world, cast)
    world.observers += [heard, images]
    world.run(15_000)
    assert {host.ledger.version for host in cast.members} == {2}
    assert {ImageNamed, ImageDecided} <= heard.kinds
    assert len(images.decided) > 1
    assert not images.denied


@pytest.mark.slow
def test_a_liar_that_names_false_images_is_named_and_decides_nothing() -> None:
    found = set()
    for seed in (1, 2):
        heard = Heard()
        faults = frozenset({Fault.IMAGES, Fault.LIAR})
        options = ClusterOptions(seed, faults=faults, time_ms=40_000, vices=frozenset({Vice.LIE}))
        run(options, [heard])
        found |= heard.kinds
    assert {ImageDecided, ImageDenied} <= found


@pytest.mark.slow
def test_an_image_that_one_word_decides_is_seen() -> None:
    found = hunt("believes-one-image", 5)
    assert found.finding is not None
    assert found.finding.invariant == "images are true"


def proven_by(kit: Kit, options: ClusterOptions) -> tuple[set[Digest], set[str]]:
    """Run a world; give by which images tasks of it were proven, and what convicted somebody."""
    world, cast, _, _ = build(options, kit)
    watch(world, cast)
    world.run(options.time_ms)
    ledger, found = cast.honest[0].ledger, set()
    for _, entry in ledger.tasks():
        if entry.settlement is None or entry.settlement.verdict is not Verdict.PROVEN:
            continue
        receipt = entry.receipts[0].receipt
        place = Assignment(Purpose.PROOF, receipt.task, receipt.slot, receipt.attempt)
        image = image_of(place, entry.spec, entry.settlement.result, receipt.nonce)
        assert image in {UNIVERSAL_IMAGE, true_image(entry.spec.module)}
        found.add(image)
    convicted = (ledger.conviction(NodeId(host.key)) for host in cast.hosts)
    return found, {each.kind for each in convicted if each is not None}


@pytest.mark.slow
@pytest.mark.parametrize("kit", [FastKit, TrioKit])
def test_tasks_are_proven_with_the_image_that_members_decided_on_as_soon_as_they_have(
    kit: type[FastKit] | type[TrioKit],
) -> None:
    faults = frozenset({Fault.IMAGES})
    options = ClusterOptions(3, joiners=0, faults=faults, time_ms=40_000, proves=True)
    images, convicted = proven_by(kit(3), options)
    assert len(images) == 2, "the universal one before, the module's own afterwards"
    assert not convicted


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_who_proves_with_an_image_of_its_own_making_is_convicted_and_nothing_of_it_settled(
    seed: int,
) -> None:
    vices, faults = frozenset({Vice.FOREIGN_IMAGE}), frozenset({Fault.IMAGES, Fault.LIAR})
    options = ClusterOptions(seed, faults=faults, time_ms=40_000, proves=True, vices=vices)
    _, convicted = proven_by(FastKit(seed), options)
    assert EVIDENCE_OF_WRONG_PROOF in convicted


def test_images_are_doubted_where_committees_change_and_that_convicts_nobody() -> None:
    faults = frozenset({Fault.IMAGES, Fault.SEATS})
    options = ClusterOptions(3, members=7, faults=faults, time_ms=40_000, proves=True)
    world, cast, _, _ = build(options)
    images = TrueImages(frozenset(host.key for host in cast.honest))
    watch(world, cast)
    world.observers.append(images)
    doubted, vouched = set[bytes](), set[bytes]()
    for until_ms in range(1_000, 16_000, 1_000):
        world.run(until_ms)
        ledger = cast.honest[0].ledger
        of_this = {module for module, translation in images.decided if translation == TRANSLATION}
        doubted |= {module for module in of_this if doubted_image(ledger, Digest(module))}
        vouched |= {module for module in of_this if own_image(ledger, Digest(module))}
    assert doubted
    assert vouched
    assert len({translation for _, translation in images.decided}) == 2
    assert not any(ledger.conviction(NodeId(host.key)) for host in cast.honest)


@pytest.mark.slow
def test_a_proof_by_whatever_image_its_prover_names_is_seen() -> None:
    found = hunt("believes-any-image", 5)
    assert found.finding is not None
    assert found.finding.invariant == "verdicts are fair"


@pytest.mark.hunt
@pytest.mark.parametrize("seed", range(1, 21))
def test_images_are_named_and_proven_with_fairly_in_many_worlds(seed: int) -> None:
    play(Plan("node-images", seed, 4 if seed % 2 else 7, 40_000))
