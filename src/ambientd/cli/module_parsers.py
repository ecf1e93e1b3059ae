"""The commands about modules, their options and help texts."""

from ambientd.cli.parsing import WHERE_TO, Parser, command, count, group, seconds, size
from ambientd.cli.registry_parsers import add_registry


def _add_module_new(module: object) -> None:
    new = command(module, "new", "module_new:new", "begin a module: sources, a test, a Makefile")
    new.add_argument("folder", metavar="FOLDER", help="where to; its last part names the module")
    new.add_argument(
        "--lang",
        choices=("assemblyscript", "c", "go", "rust"),
        required=True,
        help="written in what",
    )


def add_module(commands: object) -> None:
    """Add `module`."""
    module = group(commands, "module", "check, execute and measure modules; publish and find them")
    _add_module_new(module)
    check = command(
        module,
        "check",
        "module_commands:check",
        "whether nodes take a module; if not, how to fix it",
    )
    prepare = command(
        module, "prepare", "module_commands:prepare", "write what engines execute of a module"
    )
    prepare.add_argument("-o", "--output", metavar="FILE", required=True, help=WHERE_TO)
    prepare.add_argument(
        "--pausable", action="store_true", help="what is executed when it may have to be paused"
    )
    run = command(
        module, "run", "module_commands:run", "execute a module here, on one engine or all"
    )
    trace = command(
        module, "trace", "module_moves:trace", "show the states of an execution; compare engines"
    )
    bench = command(module, "bench", "module_commands:bench", "measure a module on engines")
    for parser in (run, trace, bench):
        _add_call(parser)
    run.add_argument("-o", "--output", metavar="FILE", help=f"the output: {WHERE_TO}")
    run.add_argument(
        "--runs", type=count, default=1, metavar="N", help="executions on each (default: 1)"
    )
    run.add_argument(
        "--log", action="store_true", help="show what the module writes to its standard error"
    )
    run.add_argument(
        "--pause-at",
        type=count,
        metavar="GAS",
        help="stop as soon as so much gas is taken, and write the state",
    )
    run.add_argument("--state", metavar="FILE", help="where to, with --pause-at")
    run.add_argument(
        "--resume",
        metavar="STATE",
        help="go on from the state in this file, with the limits and seed that it was paused under",
    )
    trace.add_argument(
        "--checkpoints",
        type=count,
        default=16,
        metavar="N",
        help="roots to show, at most, evenly spread over the gas (default: 16)",
    )
    bench.add_argument(
        "--rounds",
        type=count,
        metavar="N",
        help="calls after the first (default: 100, or what 10 s allow)",
    )
    for parser in (check, prepare, run, trace, bench):
        parser.add_argument("file", metavar="MODULE.wasm", help="a WebAssembly module")
        parser.add_argument(
            "--sandbox",
            choices=("required", "best-effort"),
            default="required",
            help="whether a platform may lack a protection of worker processes (default: required)",
        )
    add_registry(module)


def _add_call(parser: Parser) -> None:
    parser.add_argument(
        "--input", metavar="FILE", help="the input; - is standard input (default: none)"
    )
    parser.add_argument(
        "--engine",
        default="wasmtime",
        metavar="NAME",
        help="wasmtime, wasmer, wasmi, or all that are installed (default: wasmtime)",
    )
    parser.add_argument(
        "--gas-max", type=count, metavar="N", help="gas it may use (default: 10000000000)"
    )
    parser.add_argument(
        "--memory-max", type=size, metavar="SIZE", help="memory it may use (default: 512MiB)"
    )
    parser.add_argument(
        "--wall-max", type=seconds, metavar="S", help="seconds a call may take (default: 30)"
    )
    parser.add_argument(
        "--seed", metavar="HEX", help="64 digits, feed its random bytes (default: zeros)"
    )
