"""What nodes are labelled with, and what submitters ask of it (protocols/03 sections 1 and 6).

Owners say what they like: a label chooses among nodes, and proves nothing about any.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from ambientd.model.execution import EngineCode
from ambientd.model.genesis import Profile
from ambientd.model.proof import PROVER_LABEL
from ambientd.model.task import Constraint, TaskSpec

LABELS_MAX = 16
REFUSED_CLASSES_MAX = 16
NAME_CHARS_MAX = 64
_KEY = re.compile(r"[a-z][a-z0-9._/-]{0,31}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
OF_THE_PROFILE = ("owner", "region", "kind")
OF_THE_ENGINE = "engine"
_ENGINES: Mapping[int, str] = MappingProxyType(
    {int(each): each.name.lower() for each in EngineCode}
)


def is_key(text: str) -> bool:
    """Tell whether a text can be a label's key, or the name of a class."""
    return _KEY.fullmatch(text) is not None


def is_word(text: str) -> bool:
    """Tell whether a text can be a label's value."""
    return _WORD.fullmatch(text) is not None


def value_of(profile: Profile, engine: int, key: str) -> str:
    """Give the value of a label; nothing where the node has none of this key."""
    if key in OF_THE_PROFILE:
        return str(getattr(profile, key))
    if key == OF_THE_ENGINE:
        return _ENGINES.get(engine, str(engine)) if engine else ""
    return next((label.value for label in profile.labels if label.key == key), "")


def traits_of(spec: TaskSpec) -> tuple[str, ...]:
    """Give the labels in which the replicas of a task differ, the most wanted first."""
    return tuple(dict.fromkeys((OF_THE_ENGINE, *spec.distinct)))


def satisfies(profile: Profile, engine: int, constraints: Iterable[Constraint]) -> bool:
    """Tell whether a node is what all constraints ask for."""
    return all(
        (value_of(profile, engine, each.key) == each.value) != each.is_excluded
        for each in constraints
    )


def proves(profile: Profile, spec: TaskSpec) -> bool:
    """Tell whether a node takes on the proof that is asked for, if one is."""
    said = value_of(profile, 0, PROVER_LABEL)
    return spec.proof is None or (
        said.isascii() and said.isdigit() and spec.proof.cycles_max <= int(said)
    )


def profile_fault(profile: Profile) -> str | None:
    """Say why nobody can join as this, or None."""
    if max(len(profile.name), len(profile.region)) > NAME_CHARS_MAX:
        return f"a node's name and region have at most {NAME_CHARS_MAX} characters"
    if profile.owner and not is_word(profile.owner):
        return f"the owner is {profile.owner!r}, not a word of letters, digits, '.', '_' and '-'"
    keys = [label.key for label in profile.labels]
    if len(keys) > LABELS_MAX:
        return f"a node has at most {LABELS_MAX} labels"
    if len(set(keys)) != len(keys) or {*OF_THE_PROFILE, OF_THE_ENGINE} & set(keys):
        return "a label's key is there twice, or names what every node has"
    bad = [
        label.key for label in profile.labels if not (is_key(label.key) and is_word(label.value))
    ]
    return f"{bad[0]!r} is no label" if bad else refusals_fault(profile.refuses)


def refusals_fault(classes: Sequence[str]) -> str | None:
    """Say why a node cannot refuse these classes of tasks, or None."""
    if len(classes) > REFUSED_CLASSES_MAX:
        return f"a node refuses at most {REFUSED_CLASSES_MAX} classes"
    bad = [name for name in classes if not is_key(name)]
    return f"{bad[0]!r} is no class" if bad else None
