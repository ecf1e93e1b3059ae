"""The commands that look at a node and its mesh, their options and help texts."""

from ambientd.cli.parsing import NODE, command, positive, span


def add_looking(commands: object) -> None:
    """Add `status`, `nodes` and `events`."""
    status = command(commands, "status", "node_commands:status", "how this node is")
    status.add_argument(
        "--ready",
        action="store_true",
        help="only whether it takes part: 3 while it cannot, and why not",
    )
    nodes = command(commands, "nodes", "node_commands:nodes", "who is in the cluster")
    nodes.add_argument("node", metavar="NODE", nargs="?", help=f"everything about this one: {NODE}")
    nodes.add_argument(
        "--links", action="store_true", help="who is linked to whom, as the nodes themselves say"
    )
    events = command(commands, "events", "node_commands:events", "tell what happens, as it does")
    events.add_argument(
        "--task",
        metavar="ID",
        action="append",
        default=[],
        help="of this task only: its id, or an unambiguous start of it",
    )


def add_top(commands: object) -> None:
    """Add `top`."""
    top = command(commands, "top", "top_command:top", "nodes, load, tasks and the log, live")
    top.add_argument(
        "--every", type=span, default=1.0, metavar="S", help="seconds between looks (default: 1)"
    )
    top.add_argument(
        "--times",
        type=positive,
        metavar="N",
        help="look so often, and print it line by line (default: until interrupted)",
    )


def add_telemetry(commands: object) -> None:
    """Add `telemetry`."""
    telemetry = command(
        commands,
        "telemetry",
        "telemetry_command:telemetry",
        "what a node said of itself over the last hour or day",
    )
    telemetry.add_argument("node", metavar="NODE", nargs="?", help=f"{NODE} (default: this node)")
    telemetry.add_argument(
        "--span", choices=("hour", "day"), default="hour", help="how far back (default: hour)"
    )


def add_version(commands: object) -> None:
    """Add `version`."""
    command(commands, "version", "node_commands:version", "print the version")


def add_completion(commands: object) -> None:
    """Add `completion`."""
    completion = command(
        commands,
        "completion",
        "completion_commands:completion",
        "print what makes a shell complete the words of ambientctl",
    )
    completion.add_argument(
        "shell", choices=("bash", "zsh", "fish"), help="the shell that reads it"
    )
