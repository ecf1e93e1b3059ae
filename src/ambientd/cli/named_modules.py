"""Running a module by its published name: its bytes are brought, and its terms told, first."""

from pathlib import Path

from msgspec.structs import replace

from ambientd.api import operations
from ambientd.api.client import Client
from ambientd.api.module_names import could_be_pinned, is_exact_module, written_module
from ambientd.api.registry_values import BringModule, ModuleInfo
from ambientd.api.requests import SubmitTask
from ambientd.cli.console import tell, warn
from ambientd.cli.registry_commands import limits_text, price_text, warnings
from ambientd.errors import LocalProtocolError


def is_named(text: str) -> bool:
    """Tell whether a module is meant by its name; one without a version only where no folder is."""
    return is_exact_module(text) or (could_be_pinned(text) and not Path(text).parent.is_dir())


def brought(client: Client, text: str) -> ModuleInfo:
    """Have a version's bytes on the node, and say what they are before anybody pays."""
    written = written_module(text)
    info = client.call(operations.MODULE_BRING, BringModule(**written._asdict()))
    if info.manifest is None:
        raise LocalProtocolError("a node that has brought a module knows its manifest")
    shown = info.shown
    tell(f"module: {info.name}@{shown.version} of {info.publisher_name} {info.publisher}")
    tell(f"sha256: {shown.module_sha256}, {shown.module_size_bytes:,} bytes")
    tell(f"its publisher says: {price_text(info.manifest)}; {limits_text(info.manifest)}")
    for line in warnings(info):
        warn(line)
    return info


def with_module(request: SubmitTask, info: ModuleInfo) -> SubmitTask:
    """Ask for a version by its SHA-256, with its publisher's terms where the caller names none."""
    said = info.manifest
    assert said is not None, "a module that was brought has one"
    unsaid = {name: value for name, value in said.terms().items() if not getattr(request, name)}
    return replace(request, module_sha256=info.shown.module_sha256, **unsaid)
