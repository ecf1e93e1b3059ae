"""Random modules that compute with integers alone, and use all that a proof can be about."""

import re

from tests.fuzz.operations import BY_RESULT, Operation
from tests.fuzz.programs import COMPARISONS, WideProgram

_MAPPED = {"f32": "i32", "f64": "i64"}
_FLOAT = re.compile(r"f(?:32|64)")


class IntegerProgram(WideProgram):
    """The programs of the differential tests; what would be a float is an integer as wide."""

    mapped = _MAPPED

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.command, self.imports = False, {}

    def text(self) -> str:
        return _FLOAT.sub(lambda found: _MAPPED[found[0]], super().text())

    def usable(self, operation: Operation) -> bool:
        """Tell whether such a program may have the instruction."""
        return not _FLOAT.search(operation.name)

    def constant(self, kind: str) -> str:
        return super().constant(self.mapped.get(kind, kind))

    def expression(self, kind: str) -> str:
        return super().expression(self.mapped.get(kind, kind))

    def computed(self, kind: str) -> str:
        kind = self.mapped.get(kind, kind)
        if kind == "funcref" or (kind == "i32" and self.rng.random() < 0.15):
            return super().computed("funcref") if kind == "funcref" else self.asked()
        return self.applied(
            self.rng.choice([each for each in BY_RESULT[kind] if self.usable(each)])
        )

    def store(self) -> str:
        return self.applied(
            self.rng.choice([each for each in BY_RESULT[None] if self.usable(each)])
        )

    def condition(self) -> str:
        if self.rng.random() < 0.5:
            return self.expression("i32")
        kind = self.rng.choice(("i32", "i64"))
        parts = self.expression(kind), self.expression(kind)
        return f"({kind}.{self.rng.choice(COMPARISONS['i'])} {' '.join(parts)})"


_VECTOR = re.compile(r"v128|x(?:2|4|8|16)\b")


class ScalarProgram(IntegerProgram):
    """The same without vectors, each of which is an i64 instead."""

    mapped = _MAPPED | {"v128": "i64"}

    def text(self) -> str:
        return super().text().replace("v128", "i64")

    def usable(self, operation: Operation) -> bool:
        return super().usable(operation) and not _VECTOR.search(
            " ".join((operation.name, *operation.params, operation.result or ""))
        )
