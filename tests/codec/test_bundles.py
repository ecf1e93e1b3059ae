"""Bundles as bytes: what is read is what was written, and nothing else is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.api import requests
from ambientd.codec.bundles import (
    bundle_of_items,
    bundle_of_outcomes,
    decode_items,
    decode_outcomes,
    encode_items,
    encode_outcomes,
    item_paths,
    item_result,
    outcome_leaf,
)
from ambientd.codec.canonical import decode, encode
from ambientd.codec.merkle import leaf_hash, root_from_inclusion
from ambientd.errors import RemoteProtocolError
from ambientd.model.bundle import ITEMS_MAX, PATH_MAX, Bundle, ItemOutcome
from ambientd.model.execution import OutcomeKind
from ambientd.rules.bundles import item_seed_of
from scripts.make_vectors import FOLDER

VECTORS = json.loads((FOLDER / "bundles.json").read_text("utf-8"))
ITEMS = st.lists(st.binary(max_size=40), min_size=1, max_size=40)


def outcome(output: bytes = b"out", kind: int = 0) -> ItemOutcome:
    return ItemOutcome(kind=kind, reason="", gas=7, output=output)


def test_callers_may_ask_for_as_many_items_as_a_bundle_holds() -> None:
    assert requests.ITEMS_MAX == ITEMS_MAX


@given(ITEMS)
def test_every_path_leads_to_the_root_and_to_no_other_place(items: list[bytes]) -> None:
    data = encode_items(items)
    bundle = bundle_of_items(items, len(data))
    assert decode_items(data, bundle) == tuple(items)
    outcomes = [outcome(item[::-1]) for item in items]
    came = bundle_of_outcomes(outcomes, len(encode_outcomes(outcomes)))
    for place, item in enumerate(items):
        first, second = item_paths(items, outcomes, place)
        assert len(first) == len(second) <= PATH_MAX
        assert root_from_inclusion(leaf_hash(item), place, bundle.items, first) == bundle.root
        leaf = outcome_leaf(item_result(outcomes[place]))
        assert root_from_inclusion(leaf, place, came.items, second) == came.root
        for other in range(len(items)):
            led_to = root_from_inclusion(leaf_hash(item), other, bundle.items, first)
            assert other == place or items[other] == item or led_to != bundle.root


@given(ITEMS, st.data())
def test_no_other_bytes_are_the_bundle_of_a_name(items: list[bytes], drawn: st.DataObject) -> None:
    data = bytearray(encode_items(items))
    named = bundle_of_items(items, len(data))
    at = drawn.draw(st.integers(0, len(data) - 1))
    data[at] ^= drawn.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        decode_items(bytes(data), named)


def test_a_bundle_is_only_what_it_is_named_by() -> None:
    data = encode_items([b"one", b"two"])
    right = bundle_of_items([b"one", b"two"], len(data))
    for wrong in (
        replace(right, size_bytes=len(data) + 1),
        replace(right, items=3),
        replace(right, root=bytes(32)),
        bundle_of_items([b"two", b"one"], len(data)),
    ):
        with pytest.raises(RemoteProtocolError):
            decode_items(data, wrong)


@pytest.mark.parametrize("what", VECTORS["refused"])
def test_what_is_no_bundle_is_refused_whatever_names_it(what: str) -> None:
    data = bytes.fromhex(VECTORS["refused"][what])
    with pytest.raises(RemoteProtocolError):
        decode_items(data, decode(bytes.fromhex(VECTORS["given_bundle"]), Bundle))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    for read in (decode_items, decode_outcomes):
        with pytest.raises(RemoteProtocolError):
            read(data, Bundle(size_bytes=len(data), items=1, root=bytes(32)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        outcome(kind=4),
        outcome(kind=-1),
        outcome(kind=OutcomeKind.TRAPPED),
        replace(outcome(), gas=-1),
        replace(outcome(), reason="\x1b[2J"),
        replace(outcome(), reason="x" * 257),
    ],
)
def test_an_outcome_that_no_execution_can_have_is_refused(bad: ItemOutcome) -> None:
    data = encode_outcomes([outcome(), bad])
    with pytest.raises(RemoteProtocolError):
        decode_outcomes(data, bundle_of_outcomes([outcome(), bad], len(data)))


def test_the_vectors_hold() -> None:
    items = [bytes.fromhex(each) for each in VECTORS["items"]]
    given_bundle = decode(bytes.fromhex(VECTORS["given_bundle"]), Bundle)
    came_bundle = decode(bytes.fromhex(VECTORS["came_bundle"]), Bundle)
    assert decode_items(bytes.fromhex(VECTORS["given"]), given_bundle) == tuple(items)
    outcomes = decode_outcomes(bytes.fromhex(VECTORS["came"]), came_bundle)
    assert [encode(each).hex() for each in outcomes] == VECTORS["outcomes"]
    for place, paths in enumerate(VECTORS["paths"]):
        first, second = item_paths(items, outcomes, place)
        assert [step.hex() for step in first] == paths["given"]
        assert [step.hex() for step in second] == paths["came"]
    seed = bytes.fromhex(VECTORS["seed"])
    assert VECTORS["item_seeds"] == [item_seed_of(seed, n).hex() for n in range(len(items))]


def test_the_highest_tree_has_paths_as_long_as_is_allowed() -> None:
    items = [bytes([number]) for number in range(ITEMS_MAX)]
    first, _ = item_paths(items, [outcome(item) for item in items], 0)
    assert len(first) == PATH_MAX
