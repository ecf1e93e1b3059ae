"""What is said of a module that a test publishes."""

from msgspec.structs import replace

from ambientd.api.registry_values import PublishModule


def wanted(module: bytes, name: str, **other: str | int) -> PublishModule:
    """Give the words for publishing a module, with such limits that a small one keeps them."""
    words = PublishModule(
        name=name,
        version="1.0.0",
        summary="does a little",
        interface="ambient",
        gas_max=1_000_000,
        memory_bytes_max=1 << 20,
        wall_ms_max=1_000,
        output_bytes_max=1_000,
        licence="MIT",
        module=module,
    )
    return replace(words, **other)
