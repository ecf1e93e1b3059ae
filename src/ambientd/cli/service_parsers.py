"""The commands about the service of this machine, their options and help texts."""

from ambientd.cli.parsing import command, group


def add_service(commands: object) -> None:
    """Add `service`."""
    service = group(commands, "service", "this machine's node, started and watched by systemd")
    install = command(
        service, "install", "service_commands:install", "write unit, user and folder; start nothing"
    )
    uninstall = command(
        service, "uninstall", "service_commands:uninstall", "stop it and remove what was written"
    )
    for each in (install, uninstall):
        each.add_argument(
            "--root",
            metavar="DIR",
            default="/",
            help="only handle files, below this folder instead of / (for images and packages)",
        )
    command(service, "status", "service_commands:status", "what systemd says of it")
