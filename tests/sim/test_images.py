"""In worlds of whole nodes liars name false images: they are named, and none is decided."""

import pytest

from ambientd.ledger.image_events import ImageDecided, ImageDenied, ImageNamed
from sim.cluster import ClusterOptions, build, run, watch
from sim.faults import Fault
from sim.hunt import hunt
from sim.images import TrueImages
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
