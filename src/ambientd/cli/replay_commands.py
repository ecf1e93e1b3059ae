"""ambientctl receipt replay: executing a task again, to see whose word was false."""

from contextlib import closing
from typing import Protocol

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import read_file, read_module
from ambientd.cli.receipt_commands import CheckedArguments, fingerprint_of, told


class ReplayArguments(CheckedArguments, Protocol):
    """Options of `receipt replay`."""

    module: str
    input: str
    engine: str
    sandbox: str


def replay(arguments: ReplayArguments) -> ExitCode:
    """Check a receipt, and hold its marks and its result against an execution here."""
    from ambientd.api.module_pausing import PausingProcess
    from ambientd.api.module_process import engines_named

    pinned = fingerprint_of(arguments.cluster)
    (engine,) = engines_named(arguments.engine)
    with closing(
        PausingProcess(engine, sandbox_required=arguments.sandbox == "required")
    ) as process:
        # Imported while the process starts.
        from ambientd.api.mark_replay import with_replay
        from ambientd.api.offline import RECEIPT_BYTES_MAX, check_receipt

        data = read_file(arguments.file, "receipt", RECEIPT_BYTES_MAX)
        module, given = read_module(arguments.module), read_file(arguments.input, "input")
        report = check_receipt(data, pinned)
        return told(arguments, with_replay(report, process, module, given))
