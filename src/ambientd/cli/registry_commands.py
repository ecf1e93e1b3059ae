"""ambientctl module publish, search, show, pin, unpin, yank: modules by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from ambientd.api import operations, registry_values
from ambientd.api.misfits import misfit_of
from ambientd.api.module_names import exact_module, written_module
from ambientd.api.registry_values import ModuleInfo
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    SHORT_ID_CHARS,
    CommonArguments,
    confirm,
    connect,
    in_sat,
    on_day,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import read_file, read_module
from ambientd.cli.image_commands import said_fields
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.api.module_check import ModuleReport

_MODULE_TOML_BYTES_MAX = 16 * 1024


class PublishArguments(CommonArguments, Protocol):
    """Options of `module publish`."""

    file: str
    manifest: str
    sandbox: str
    yes: bool


class SearchArguments(CommonArguments, Protocol):
    """Options of `module search`."""

    text: str
    limit: int


class NameArguments(CommonArguments, Protocol):
    """Options of what is about one module."""

    module: str


class YankArguments(NameArguments, Protocol):
    """Options of `module yank`."""

    reason: str
    yes: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a task of the module asks for, unless its submitter says otherwise."""

    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int


class ModuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """module.toml: what a publisher says of its module."""

    name: str
    version: str
    summary: str
    licence: str
    limits: Limits
    source_url: str = ""
    source_sha256: str = ""
    price_msat_per_mgas: int = 0


def publish(arguments: PublishArguments) -> ExitCode:
    """Publish a version of a module as this node."""
    from ambientd.rules.modules import PUBLISH_FEE_MSAT

    said = _module_file(arguments.manifest, arguments.file)
    module = read_module(arguments.file)
    report = _checked(arguments, module)
    name = f"{said.name}@{said.version}"
    question = f"publish {name} for {in_sat(PUBLISH_FEE_MSAT)}? it means these bytes for ever"
    if not confirm(question, is_sure=arguments.yes):
        warn("nothing was published")
        return ExitCode.FAILED
    request = _request(arguments.manifest, said, module, report)
    with connect(arguments) as client:
        done = client.call(operations.MODULE_PUBLISH, request)
    if arguments.as_json:
        print_json(done)
        return ExitCode.DONE
    print_line(f"{short(done.publisher)}/{name} is published")
    fee = in_sat(done.fee_msat) if done.fee_msat else "nothing: it was published already"
    print_fields([("module", done.module_sha256), ("manifest", done.manifest_sha256), ("fee", fee)])
    print_line(f"others run it with `ambientctl run {short(done.publisher)}/{name}`")
    return ExitCode.DONE


def search(arguments: SearchArguments) -> ExitCode:
    """List published modules with a text in them."""
    request = registry_values.ListModules(text=arguments.text)
    with connect(arguments) as client:
        every = pages(client.call, operations.MODULE_LIST, request, arguments.limit)
        found = whole(every, "modules")
    if arguments.as_json:
        print_json(found)
        return ExitCode.DONE
    rows = [
        (
            f"{short(each.publisher)}/{each.name}",
            each.version or "-",
            each.publisher_name + (" (convicted)" if each.convicted else ""),
            each.summary,
        )
        for each in found.modules
    ]
    if rows:
        print_table(("MODULE", "NEWEST", "PUBLISHER", "SUMMARY"), rows)
    else:
        print_line("no module is published" + (f" with {arguments.text!r}" * bool(arguments.text)))
    if found.next is not None:
        print_line(f"{len(rows)} of {found.total}; --limit shows more, a longer text fewer")
    return ExitCode.DONE


def show(arguments: NameArguments) -> ExitCode:
    """Show everything about a version of a module."""
    written = written_module(arguments.module)
    request = registry_values.ShowModule(**written._asdict())
    with connect(arguments) as client:
        info = client.call(operations.MODULE_SHOW, request)
    return _report(arguments, info)


def pin(arguments: NameArguments) -> ExitCode:
    """Keep a version on this device, and what its name means."""
    request = registry_values.PinModule(**exact_module(arguments.module)._asdict())
    with connect(arguments) as client:
        info = client.call(operations.MODULE_PIN, request)
    for line in warnings(info):
        warn(line)
    if arguments.as_json:
        print_json(info)
    else:
        sha256 = info.shown.module_sha256
        print_line(f"{arguments.module} is pinned: {short(info.publisher)}, sha256 {sha256}")
    return ExitCode.DONE


def unpin(arguments: NameArguments) -> ExitCode:
    """Let a pinned version go."""
    request = registry_values.UnpinModule(**exact_module(arguments.module)._asdict())
    with connect(arguments) as client:
        done = client.call(operations.MODULE_UNPIN, request)
    if arguments.as_json:
        print_json(done)
    else:
        print_line(f"{arguments.module} is pinned no more")
    return ExitCode.DONE


def yank(arguments: YankArguments) -> ExitCode:
    """Advise against a version that this node published."""
    written = exact_module(arguments.module)
    if not confirm(f"advise against {arguments.module} for ever?", is_sure=arguments.yes):
        warn("nothing was changed")
        return ExitCode.FAILED
    request = registry_values.YankModule(**written._asdict(), reason=arguments.reason)
    with connect(arguments) as client:
        info = client.call(operations.MODULE_YANK, request)
    if arguments.as_json:
        print_json(info)
    else:
        print_line(f"{arguments.module} is advised against: {info.shown.yanked}")
    return ExitCode.DONE


def warnings(info: ModuleInfo) -> list[str]:
    """Say what stands against using a version."""
    found = []
    if info.shown.yanked:
        found.append(f"its publisher advises against this version: {info.shown.yanked}")
    if info.convicted:
        found.append("its publisher was convicted of a lie: `ambientctl blame list`")
    return found


def _report(arguments: CommonArguments, info: ModuleInfo) -> ExitCode:
    if arguments.as_json:
        print_json(info)
        return ExitCode.DONE
    shown = info.shown
    kept = "on this device" if info.here else "not on this device"
    fields = [
        ("module", f"{info.name}@{shown.version}: {info.summary}".rstrip(": ")),
        ("publisher", f"{info.publisher_name} {info.publisher}"),
        ("sha256", shown.module_sha256),
        ("size", f"{shown.module_size_bytes:,} bytes, {kept}{', pinned' * info.pinned}"),
        ("published", on_day(shown.published_ms)),
        *_manifest_fields(info),
        (
            "versions",
            ", ".join(each.version + " (yanked)" * bool(each.yanked) for each in info.versions),
        ),
        *published_fields(info.published_as),
        *([] if info.image is None else said_fields(info.image)),
    ]
    print_fields(fields)
    for line in warnings(info):
        warn(line)
    return ExitCode.DONE


def _manifest_fields(info: ModuleInfo) -> list[tuple[str, str]]:
    said = info.manifest
    if said is None:
        return [("manifest", f"not known: {info.problem}")]
    source = said.source_url or "none named"
    if said.source_sha256:
        source += f", sha256 {said.source_sha256}"
    return [
        ("interface", said.interface),
        ("limits", limits_text(said)),
        ("price", price_text(said)),
        ("licence", f"{said.licence} (its publisher's word)"),
        ("source", source),
    ]


def published_fields(names: Sequence[str]) -> list[tuple[str, str]]:
    """Say under which names the same bytes are published; nothing where under none."""
    shown = (f"{name[:SHORT_ID_CHARS]}{name[name.index('/') :]}" for name in names)
    return [("published as", ", ".join(shown))] if names else []


def limits_text(said: registry_values.ManifestInfo) -> str:
    """Say what a task asks for, unless its submitter says otherwise."""
    return (
        f"{said.gas_max:,} gas, {said.memory_bytes_max:,} bytes of memory, "
        f"{said.wall_ms_max:,} ms, {said.output_bytes_max:,} bytes of output"
    )


def price_text(said: registry_values.ManifestInfo) -> str:
    """Say what the publisher advises to offer workers."""
    price = said.price_msat_per_mgas
    return f"{price:,} msat for a million gas is advised" if price else "no price is advised"


def _module_file(path: str, module: str) -> ModuleFile:
    try:
        data = read_file(path, "module's description", _MODULE_TOML_BYTES_MAX)
    except UsageError as error:
        beside = Path(module).parent / "module.toml"
        name = str(beside) if beside.is_file() and str(beside) != path else "FILE"
        raise UsageError(f"{error}, or name another with --manifest {name}") from error
    try:
        return msgspec.toml.decode(data, type=ModuleFile)
    except (ValueError, RecursionError) as error:
        msg = f"{path}: does not read: {' '.join(str(error).split())}"
        raise UsageError(f"{msg}; `ambientctl module new` writes one to begin with") from error


def _checked(arguments: PublishArguments, module: bytes) -> "ModuleReport":
    """Check that nodes take a module before it is paid for; raise UsageError otherwise."""
    from ambientd.api.module_check import check_module

    is_required = arguments.sandbox == "required"
    report, _ = check_module(module, "wasmtime", sandbox_required=is_required)
    if not report.accepted:
        msg = f"{arguments.file}: nodes do not take it: {report.reason}"
        raise UsageError(f"{msg}; `ambientctl module check` says how to fix it")
    return report


def _request(
    path: str, said: ModuleFile, module: bytes, report: "ModuleReport"
) -> registry_values.PublishModule:
    fields = {
        name: getattr(said, name) for name in ModuleFile.__struct_fields__ if name != "limits"
    }
    fields |= msgspec.to_builtins(said.limits)
    fields["source_sha256"] = said.source_sha256 or None
    fields["interface"] = report.interface
    try:
        request = msgspec.convert(fields, registry_values.PublishModule)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: does not fit: {misfit_of(error)}; mend it there") from error
    return msgspec.structs.replace(request, module=module)
