"""A daemon's memory holds no package that it does not use, and others find theirs all the same."""

import subprocess
import sys

PROGRAM = """
import sys
import ambientd.daemon.composition
import ambientd.daemon.front_desk
unused = {"asyncio", "cryptography", "greenlet", "importlib.metadata", "pygments", "rich"}
assert not unused & sys.modules.keys(), unused & sys.modules.keys()
import rich.traceback, structlog, asyncio
assert rich.traceback.Traceback
assert structlog.stdlib.asyncio.get_running_loop is asyncio.get_running_loop
structlog.get_logger().info("said", how="plainly")
try:
    raise ValueError("a fault")
except ValueError:
    structlog.get_logger().exception("caught")
"""


def test_a_daemon_imports_only_what_it_uses_and_whoever_wants_the_rest_has_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "ValueError: a fault" in ended.stdout
