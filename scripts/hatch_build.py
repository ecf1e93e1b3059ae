"""Puts the manual pages of ambientctl into the wheel; the build calls it, nobody else does."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualHook(BuildHookInterface[Any]):
    """Writes the pages with the sources that are built, which import the standard library alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages, and say where they are installed."""
        del version
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        sys.path[:0] = [str(root / "src"), str(root / "scripts")]
        from manual import write_pages

        for path in write_pages(root / "build" / "man"):
            build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"
