"""A participant of a private study says what each step of a round asks for, and leaves in time."""

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import Propose
from ambientd.model.learning import Announced, RoundState
from ambientd.model.learning_effect import (
    ConcealWanted,
    DealWanted,
    GatherWanted,
    KeysWanted,
    OpenWanted,
    SumWanted,
)
from ambientd.model.learning_record import (
    FlKeys,
    FlLeave,
    FlResult,
    FlShares,
    FlUnmask,
    FlUpdate,
)
from ambientd.node.learning_event import (
    Aggregated,
    Gathered,
    GaveUp,
    KeysMade,
    SharesDealt,
    SharesOpened,
    Trained,
)
from ambientd.roles.learning.under_way import circles
from tests.ledger.studies import GUESTS, PRIVATE, STEP_MS, Studied, names
from tests.roles.learning.test_rounds import drawn, learning, the_one

EVERY = tuple(GUESTS)
BLOB = Digest(sha256(b"blob"))
KEY = sha256(b"key")


def at(state: RoundState) -> Studied:
    study = Studied(PRIVATE)
    for _ in range(6):
        match study.state:
            case found if found is state:
                return study
            case RoundState.SURVIVORS:
                study.name_survivors(*EVERY)
            case _:
                study.say(*EVERY)
    raise AssertionError(state)


def own_keys(node: NodeId) -> Announced:
    return Announced(node=node, mask_key=KEY, seal_key=KEY, self_commitment=KEY)


def test_a_participant_says_each_step_of_a_round_in_private() -> None:
    keys = at(RoundState.KEYS)
    role, state = learning(keys, EVERY[0]), keys.cluster.state
    wanted = the_one(role.resume(state))
    assert isinstance(wanted, KeysWanted)
    made = KeysMade(wanted.place, own_keys(keys.cluster.node(EVERY[0])))
    [said] = role.on_done(made, state, 0)
    assert isinstance(said, Propose)
    assert isinstance(said.body, FlKeys)
    assert role.on_done(made, state, 0) == [], "once"

    shares = at(RoundState.SHARES)
    role, state = learning(shares, EVERY[0]), shares.cluster.state
    wanted = the_one(role.resume(state))
    assert isinstance(wanted, DealWanted)
    assert wanted.circle.dealt == ()
    [said] = role.on_done(SharesDealt(wanted.place, BLOB, 9), state, 0)
    assert said == Propose(FlShares(study=shares.study, round=1, digest=BLOB, size_bytes=9))

    training = at(RoundState.TRAINING)
    role, state = learning(training, EVERY[0]), training.cluster.state
    wanted = the_one(role.resume(state))
    assert isinstance(wanted, ConcealWanted)
    [said] = role.on_done(Trained(wanted.place, BLOB, 1), state, 0)
    assert said == Propose(FlUpdate(study=training.study, round=1, update=BLOB, samples=1))

    unmasking = at(RoundState.UNMASKING)
    role, state = learning(unmasking, EVERY[0]), unmasking.cluster.state
    wanted = the_one(role.resume(state))
    assert isinstance(wanted, OpenWanted)
    assert set(wanted.survivors) == set(wanted.circle.nodes), "all of its circle are there"
    [said] = role.on_done(SharesOpened(wanted.place, BLOB, 9), state, 0)
    assert said == Propose(FlUnmask(study=unmasking.study, round=1, digest=BLOB, size_bytes=9))


def test_shares_are_asked_for_survivors_that_the_log_has_committed_alone() -> None:
    study = at(RoundState.SURVIVORS)
    assert learning(study, EVERY[0]).resume(study.cluster.state) == []


def test_who_has_no_budget_left_leaves_so_that_nobody_waits_for_it() -> None:
    study = at(RoundState.KEYS)
    role = learning(study, EVERY[0])
    wanted = the_one(role.resume(study.cluster.state))
    [said] = role.on_done(GaveUp(wanted.place, "spent"), study.cluster.state, 0)
    assert isinstance(said, Propose)
    assert isinstance(said.body, FlLeave)
    study.block((EVERY[0], said.body))
    assert study.cluster.node(EVERY[0]) not in study.entry.participants
    study.say(*EVERY[1:])
    assert study.state is RoundState.SHARES, "nobody waited for who has left"


def test_aggregators_bring_dealings_too_and_add_up_in_circles() -> None:
    study = at(RoundState.SURVIVORS)
    first = learning(study, drawn(study, 0))
    gather = the_one(first.resume(study.cluster.state))
    assert isinstance(gather, GatherWanted)
    assert [len(circle.dealt) for circle in gather.circles] == [3, 3]
    held = names(study, *EVERY)
    [said] = first.on_done(Gathered(gather.place, held), study.cluster.state, 0)
    assert isinstance(said, Propose)
    study.name_survivors(*EVERY)
    study.say(*EVERY)
    wanted = the_one(first.resume(study.cluster.state))
    assert isinstance(wanted, SumWanted)
    assert {node for circle in wanted.circles for node in circle.nodes} == set(held)
    liars = (held[1], held[0])
    after = Aggregated(wanted.place, BLOB, liars, liars[:1])
    [result] = first.on_done(after, study.cluster.state, 0)
    assert result == Propose(
        FlResult(
            study=study.study,
            round=1,
            after=BLOB,
            left_out=tuple(sorted(liars)),
            faulty=liars[:1],
        )
    )


def test_a_member_that_fell_silent_is_no_survivor_of_its_circle() -> None:
    study = at(RoundState.TRAINING)
    threes = [set(c.nodes) for c in circles(study.entry, study.row)]
    spoken = [n for n in EVERY if study.cluster.node(n) in threes[0]]
    study.say(*spoken)
    study.block(after_ms=3 * STEP_MS + 100)
    assert study.state is RoundState.SURVIVORS
    role = learning(study, drawn(study, 0))
    gather = the_one(role.resume(study.cluster.state))
    assert isinstance(gather, GatherWanted)
    assert {each.node for each in gather.contributed} == threes[0]
