"""What a program gives for a task: a module, inputs, and terms; each checked as it comes."""

from pathlib import Path
from typing import TypedDict

import anyio

from ambientd.api.registry_values import ModuleInfo

Module = bytes | str | Path | ModuleInfo
"""A module's bytes, where its file is, or one that `module` has found."""


class Terms(TypedDict, total=False):
    """What a task may use, and who shall work on it; what is left out is the node's default."""

    assurance: str
    replicas: int
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int
    price_msat_per_mgas: int
    task_class: str
    constraints: tuple[str, ...]
    distinct: tuple[str, ...]
    priority: int
    deadline_ms: int
    attempts_max: int
    marks_max: int
    strategy: str
    cycles_max: int
    price_msat_per_mcycle: int


def check_input(data: object) -> None:
    """Raise TypeError for what is no task's input."""
    if isinstance(data, str):
        raise TypeError("an input is bytes, and this is a str: say data.encode()")
    if not isinstance(data, bytes):
        raise TypeError(f"an input is bytes, not {kind_of(data)}: say bytes(data)")


def check_module(module: object) -> None:
    """Raise TypeError for what names no module."""
    if callable(module):
        msg = "a mesh executes WebAssembly, not Python: give a module's bytes, or its file's path"
        raise TypeError(msg)
    if not isinstance(module, bytes | str | Path | ModuleInfo):
        raise TypeError(f"a module is its bytes, or its file's path, not {kind_of(module)}")


def kind_of(value: object) -> str:
    """Name the type of what was given."""
    return type(value).__name__


async def read_module(module: Module) -> bytes | ModuleInfo:
    """Give a module's bytes, from its file where a path is given; a found one is left as it is."""
    check_module(module)
    if isinstance(module, bytes | ModuleInfo):
        return module
    return await anyio.Path(module).read_bytes()
