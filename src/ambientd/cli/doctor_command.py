"""ambientctl doctor: what is wrong with this device, and what to do about it."""

from ambientd.api import operations, requests
from ambientd.api.doctor_values import Checkup, Finding, Grade, LookRound
from ambientd.cli.console import CommonArguments, connect, data_dir_of, print_json, print_line
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.node_commands import all_nodes
from ambientd.errors import ConfigError, UnreachableError


def doctor(arguments: CommonArguments) -> ExitCode:
    """Look at everything, with the daemon or without; the code is 1 when something fails."""
    from ambientd.api.doctor_folder import look_at_folder

    of_daemon = _asked(arguments)
    is_running = of_daemon is not None
    folder = look_at_folder(data_dir_of(arguments), is_running=is_running)
    checkup = Checkup(running=is_running, findings=(*folder, *(of_daemon or ())))
    if arguments.as_json:
        print_json(checkup)
    else:
        _show(checkup)
    return ExitCode.FAILED if checkup.worst is Grade.FAIL else ExitCode.DONE


def _asked(arguments: CommonArguments) -> list[Finding] | None:
    """Ask the daemon; None when none answers."""
    from ambientd.api.doctor_daemon import look_at_daemon

    try:
        with connect(arguments) as client:
            status = client.call(operations.STATUS, requests.GetStatus())
            nodes = all_nodes(client)
            looks = client.call(operations.DOCTOR_LOOK, LookRound())
    except (UnreachableError, ConfigError):
        return None
    return look_at_daemon(status, nodes, looks)


def _show(checkup: Checkup) -> None:
    width = max(len(each.name) for each in checkup.findings)
    for each in checkup.findings:
        todo = f"; {each.advice}" if each.advice else ""
        print_line(f"{each.grade.value:<4}  {each.name:<{width}}  {each.text}{todo}")
