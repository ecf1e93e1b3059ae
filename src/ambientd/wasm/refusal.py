"""How decoding and rewriting give up on a module, from any depth, with a place to point at."""


class RefusalError(Exception):
    """The module is not acceptable; caught in `prepare`, which turns it into a value."""

    def __init__(self, problem: str, remedy: str, offset: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.offset = offset
        self.section: str | None = None
        self.function: int | None = None
        self.instruction: str | None = None


REBUILD = "Check that the file is a complete WebAssembly module and build it again."
TARGET = (
    "Build for plain WebAssembly 2.0, without threads, relaxed SIMD, 64-bit memory, "
    "garbage collection, tail calls or exceptions."
)
SHRINK = "Make the module smaller or split it."
