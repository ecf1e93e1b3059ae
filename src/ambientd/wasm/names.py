"""Function names from the custom `name` section, for messages only."""

from ambientd.wasm.leb import Reader
from ambientd.wasm.refusal import RefusalError

_FUNCTION_NAMES = 1
_SHOWN_MAX = 80


def name_of(data: bytes, function: int) -> str | None:
    """Look a function's name up; whatever is wrong with the section, the answer is None."""
    try:
        return _look_up(Reader(data, 8, len(data)), function)
    except RefusalError:
        return None


def _look_up(module: Reader, function: int) -> str | None:
    while not module.done():
        number = module.byte()
        section = module.sub(module.unsigned())
        if number != 0 or section.take(section.unsigned()) != b"name":
            continue
        while not section.done():
            kind = section.byte()
            names = section.sub(section.unsigned())
            if kind != _FUNCTION_NAMES:
                continue
            for _ in range(names.unsigned()):
                index, name = names.unsigned(), names.take(names.unsigned())
                if index == function:
                    return name[:_SHOWN_MAX].decode("utf-8", "replace")
    return None
