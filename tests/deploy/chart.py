"""What the chart's init containers do, done here with the chart's own words."""

import os
import re
import subprocess
import sys
from pathlib import Path

CHART = Path(__file__).parents[2] / "deploy/chart"


def script_of(template: str, container: str) -> str:
    """Give the script of an init container."""
    text = (CHART / "templates" / template).read_text(encoding="utf-8")
    found = re.search(rf"name: {container}\n.*?- \|\n(.*?)\n {{10}}resources:", text, re.DOTALL)
    assert found is not None
    return found[1]


def run_script(script: str, volume: Path, pod: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a pod would, with its volume here."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = {"AMBIENT_DATA_DIR": str(volume / "node"), "HOSTNAME": pod, "PATH": path}
    return subprocess.run(
        ["sh", "-euc", script], env=os.environ | told, capture_output=True, text=True
    )


def take_folder(volume: Path, founding: Path, number: int) -> subprocess.CompletedProcess[str]:
    """Let a member take its folder out of the founding Secret."""
    script = script_of("members.yaml", "take-folder")
    assert script.count('"/founding/') == 1
    words = script.replace('"/founding/', f'"{founding}/')
    return run_script(words, volume, f"ambient-{number}")
