"""The commands about published modules, their options and help texts."""

from ambientd.cli.parsing import command, limit

_EXACT = "PUBLISHER/NAME@VERSION"


def add_registry(module: object) -> None:
    """Add what `module` has for modules that have names; a daemon answers."""
    publish = command(
        module, "publish", "registry_commands:publish", "publish a version as this node, for a fee"
    )
    publish.add_argument("file", metavar="MODULE.wasm", help="a WebAssembly module")
    publish.add_argument(
        "--manifest",
        metavar="FILE",
        default="module.toml",
        help="what is said of it (default: module.toml)",
    )
    publish.add_argument(
        "--sandbox",
        choices=("required", "best-effort"),
        default="required",
        help="whether a platform may lack a protection of worker processes (default: required)",
    )
    publish.add_argument("--yes", action="store_true", help="do not ask first")
    search = command(module, "search", "registry_commands:search", "which modules are published")
    search.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        default="",
        help="in name, summary or publisher (default: all)",
    )
    search.add_argument(
        "--limit", type=limit, default=50, metavar="N", help="how many (default: 50)"
    )
    show = command(module, "show", "registry_commands:show", "everything about a published module")
    show.add_argument(
        "module", metavar="PUBLISHER/NAME[@VERSION]", help="without a version, the newest"
    )
    pin = command(
        module, "pin", "registry_commands:pin", "keep a version here, and what its name means"
    )
    unpin = command(module, "unpin", "registry_commands:unpin", "let a pinned version go")
    for parser in (pin, unpin):
        parser.add_argument("module", metavar=_EXACT, help="exactly one version")
    yank = command(
        module, "yank", "registry_commands:yank", "advise against a version of this node's own"
    )
    yank.add_argument("module", metavar=_EXACT, help="exactly one version")
    yank.add_argument("--reason", metavar="TEXT", required=True, help="what others should know")
    yank.add_argument("--yes", action="store_true", help="do not ask first")
