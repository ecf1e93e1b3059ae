"""What nodes say they are, and what submitters ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.model.execution import EngineCode
from ambientd.model.genesis import Label, NodeKind, Profile
from ambientd.model.task import Constraint
from ambientd.rules.labels import profile_fault, satisfies, value_of

LABELS = (Label(key="gpu", value="none"), Label(key="rack", value="7"))
PROFILE = Profile(
    name="attic", region="eu", kind=NodeKind.EDGE, owner="ada", labels=LABELS, refuses=("media",)
)
WASMI = int(EngineCode.WASMI)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("owner", "ada"),
        ("region", "eu"),
        ("kind", "edge"),
        ("engine", "wasmi"),
        ("gpu", "none"),
        ("rack", "7"),
        ("disk", ""),
        ("name", ""),
    ],
)
def test_a_label_is_of_the_profile_of_the_engine_or_the_owners_own(key: str, value: str) -> None:
    assert value_of(PROFILE, WASMI, key) == value


def test_an_engine_that_nobody_has_told_of_is_no_label() -> None:
    assert value_of(PROFILE, int(EngineCode.UNKNOWN), "engine") == ""
    assert value_of(PROFILE, 200, "engine") == "200", "a later version may know its name"


def test_every_constraint_must_hold() -> None:
    here = Constraint(key="region", value="eu")
    other = Constraint(key="rack", value="8")
    assert satisfies(PROFILE, WASMI, (here,))
    assert not satisfies(PROFILE, WASMI, (here, other))
    assert satisfies(PROFILE, WASMI, (here, replace(other, is_excluded=True)))


@given(st.sampled_from(["region", "rack", "disk", "engine"]), st.sampled_from(["eu", "7", "x"]))
def test_a_node_is_what_is_asked_for_or_what_is_excluded(key: str, value: str) -> None:
    wanted = Constraint(key=key, value=value)
    excluded = replace(wanted, is_excluded=True)
    assert satisfies(PROFILE, WASMI, (wanted,)) != satisfies(PROFILE, WASMI, (excluded,))


def changed(**changes: object) -> Profile:
    return replace(PROFILE, **changes)


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (changed(name="x" * 65), "at most 64 characters"),
        (changed(owner="a b"), "the owner is 'a b'"),
        (changed(labels=tuple(Label(key=f"k{n}", value="1") for n in range(17))), "16 labels"),
        (changed(refuses=tuple(f"c{n}" for n in range(17))), "refuses at most 16 classes"),
        (changed(labels=(*LABELS, LABELS[0])), "twice"),
        (changed(labels=(Label(key="region", value="eu"),)), "names what every node has"),
        (changed(labels=(Label(key="Gpu", value="1"),)), "'Gpu' is no label"),
        (changed(labels=(Label(key="gpu", value="1\n"),)), "'gpu' is no label"),
        (changed(refuses=("",)), "'' is no class"),
    ],
)
def test_a_profile_that_could_mislead_or_flood_is_refused(profile: Profile, fault: str) -> None:
    assert fault in (profile_fault(profile) or "")


def test_a_profile_of_plain_words_is_taken() -> None:
    assert profile_fault(PROFILE) is None
    assert profile_fault(Profile(name="", region="", kind=NodeKind.MOBILE)) is None
