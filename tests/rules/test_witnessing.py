"""A witness follows one log, and proves it when it is shown two."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import fingerprint
from ambientd.model.witness import LogUpdate, Prefix, SignedHead, SplitView
from ambientd.rules.receipt_check import only_founders
from ambientd.rules.witnessing import (
    Followed,
    NothingNew,
    Refused,
    Split,
    SplitProven,
    Unproven,
    Witness,
    check_split,
)
from tests.ledger.cluster import genesis
from tests.rules.logs import GENESIS, SIGNERS, Log

sizes = st.integers(1, 40)


def witness(seen: SignedHead | None = None) -> Witness:
    return Witness(GENESIS, seen, only_founders)


@given(first=sizes, second=sizes)
def test_heads_of_one_log_are_followed_whatever_their_order(first: int, second: int) -> None:
    log, watching = Log(40), witness()
    assert watching.observe(log.update(first)) == Followed(log.head(first))
    outcome = watching.observe(log.update(second, since=first))
    larger = second > first
    assert outcome == (Followed(log.head(second)) if larger else NothingNew())
    assert watching.seen == log.head(max(first, second))


@settings(max_examples=60)
@given(first=sizes, second=sizes, fork=st.integers(0, 39))
def test_two_logs_are_told_apart_and_anyone_can_check_it(
    first: int, second: int, fork: int
) -> None:
    assume(fork < min(first, second))
    mine, other = Log(40), Log(40, fork=fork)
    watching = witness(mine.head(first))
    update = other.update(second, since=first, signers=(1, 2, 3))
    if second < first:  # only the log that was followed can prove what its own head grew from
        update = replace(update, prefix=mine.prefix(second, first))
    outcome = watching.observe(update)
    assert isinstance(outcome, Split)
    assert watching.seen == mine.head(first), "what contradicts it is not followed"
    copied = decode(encode(outcome.evidence), SplitView)
    proven = check_split(copied, only_founders)
    assert isinstance(proven, SplitProven)
    assert proven.cluster == fingerprint(GENESIS)
    assert proven.both == tuple(sorted(SIGNERS[number].public_key for number in (1, 2)))


@given(first=st.integers(1, 19), same=st.integers(0, 10), more=st.integers(1, 10))
def test_what_begins_alike_is_no_split(first: int, same: int, more: int) -> None:
    fork = first + same
    second = fork + more
    watching = witness(Log(40).head(first))
    outcome = watching.observe(Log(40, fork=fork).update(second, since=first))
    assert isinstance(outcome, Followed)


def test_a_head_without_a_proof_is_not_followed() -> None:
    log, watching = Log(9), witness()
    watching.observe(log.update(3))
    assert isinstance(watching.observe(log.update(9)), Unproven)
    assert isinstance(watching.observe(log.update(9, since=4)), Unproven)
    assert watching.seen == log.head(3)


@pytest.mark.parametrize(
    "forged",
    [
        lambda log: Prefix(size=3, root=b"\x00" * 32, path=log.prefix(3, 9).path),
        lambda log: Prefix(size=3, root=log.prefix(3, 9).root, path=()),
        lambda log: Prefix(size=3, root=log.prefix(3, 9).root, path=(b"\x00" * 31,)),
        lambda log: Prefix(size=3, root=b"short", path=log.prefix(3, 9).path),
        lambda log: Prefix(size=3, root=log.prefix(3, 9).root, path=(b"\x00" * 32,) * 500),
        lambda log: Prefix(size=9, root=log.head(9).note.root, path=()),
        lambda log: Prefix(size=-3, root=log.head(9).note.root, path=()),
        lambda log: Log(9, fork=1).prefix(3, 9),
    ],
)
def test_a_forged_proof_neither_moves_a_witness_nor_blames_anybody(forged: object) -> None:
    log, watching = Log(9), witness()
    watching.observe(log.update(3))
    update = replace(log.update(9), prefix=forged(log))  # type: ignore[operator]
    assert isinstance(watching.observe(update), Unproven)
    assert watching.seen == log.head(3)
    evidence = SplitView(
        version=1, genesis=GENESIS, first=log.head(3), second=log.head(9), prefix=update.prefix
    )
    assert isinstance(check_split(evidence, only_founders), str)


def test_a_head_that_no_quorum_signed_is_refused() -> None:
    log = Log(5)
    few = log.update(5, signers=(0, 1))
    twice = log.update(5, signers=(0, 1, 1))
    forged = replace(few, head=replace(few.head, note=replace(few.head.note, size=4)))
    strange = replace(few, head=replace(few.head, epochs=(b"x",)))
    endless = replace(few, head=replace(few.head, epochs=(b"",) * 2_000))
    empty = replace(few, head=replace(few.head, note=replace(few.head.note, size=0)))
    for update in (few, twice, forged, strange, endless, empty):
        assert isinstance(witness().observe(update), Refused)


def test_another_cluster_or_version_is_refused() -> None:
    update = Log(5).update(5)
    assert isinstance(witness().observe(replace(update, version=2)), Refused)
    assert isinstance(witness().observe(replace(update, genesis=genesis(5))), Refused)


def test_evidence_that_shows_no_split_is_none() -> None:
    log, other = Log(9), Log(9, fork=2)
    evidence = SplitView(
        version=1, genesis=GENESIS, first=log.head(9), second=other.head(9), prefix=None
    )
    assert isinstance(check_split(evidence, only_founders), SplitProven)
    for broken in (
        replace(evidence, version=9),
        replace(evidence, second=log.head(9)),
        replace(evidence, second=other.head(9, signers=(0, 1))),
        replace(evidence, second=other.head(8)),
        replace(evidence, genesis=genesis(5)),
        replace(evidence, genesis=replace(GENESIS, members=())),
    ):
        assert isinstance(check_split(broken, only_founders), str)


def test_an_update_survives_its_bytes() -> None:
    update = Log(9).update(9, since=3)
    assert decode(encode(update), LogUpdate) == update
