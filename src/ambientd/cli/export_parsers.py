"""The commands that write what a node knows into files, their options and help texts."""

from ambientd.cli.parsing import Parser, command, group


def add_export(commands: object) -> None:
    """Add `export`."""
    export = group(commands, "export", "what this node knows, as a table for other programs")
    tasks = command(export, "tasks", "export_commands:tasks", "the ledger's tasks, a row each")
    _add_file(tasks)
    tasks.add_argument(
        "--state", default="", metavar="STATE", help="only those in this state; open"
    )
    nodes = command(export, "nodes", "export_commands:nodes", "the cluster's nodes, a row each")
    _add_file(nodes)
    telemetry = command(
        export,
        "telemetry",
        "export_commands:telemetry",
        "what nodes said of themselves, a row for each value",
    )
    _add_file(telemetry)
    telemetry.add_argument(
        "--span", choices=("hour", "day"), default="hour", help="how far back (default: hour)"
    )
    observations = command(
        export,
        "observations",
        "export_commands:observations",
        "what nodes signed of themselves, a row for each value, where [telemetry] keeps a journal",
    )
    _add_file(observations)


def _add_file(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="where to")
    parser.add_argument(
        "--format",
        choices=("parquet", "csv", "jsonl"),
        help="how it is written (default: as the file's name ends)",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
