"""A daemon's memory holds no package that only draws, and drawing goes on elsewhere."""

import subprocess
import sys

PROGRAM = """
import sys
import ambientd.daemon
drawing = sorted({"rich", "pygments"} & sys.modules.keys())
assert not drawing, drawing
import rich.traceback, structlog
assert rich.traceback.Traceback
structlog.get_logger().info("said", how="plainly")
try:
    raise ValueError("a fault")
except ValueError:
    structlog.get_logger().exception("caught")
"""


def test_a_daemon_imports_no_rich_and_whoever_wants_it_has_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "ValueError: a fault" in ended.stdout
