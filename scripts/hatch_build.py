"""Puts the dashboard and the manual pages into the wheel; the build calls it, nobody else does."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TERMINAL = Path("/dev/tty")


class PagesHook(BuildHookInterface[Any]):
    """Makes the pages with the sources that are built, which import the standard library alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages, and say where those of the manual are installed."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        sys.path[:0] = [str(root / "src"), str(root / "scripts")]
        from dashboard_pages import bring_pages
        from manual import write_pages

        # What is installed for work on the sources has its pages by `make setup`.
        fault = "" if version == "editable" else bring_pages(root)
        if fault:
            self._say(fault)
        for path in write_pages(root / "build" / "man"):
            build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"

    def _say(self, text: str) -> None:
        """Warn; pip shows nothing of a build that succeeds, so say it to whoever sits there too."""
        self.app.display_warning(text)
        if sys.stderr.isatty():
            return
        try:
            with _TERMINAL.open("w") as terminal:
                terminal.write(f"\n{text}\n")  # the installer is within a line of its own
        except OSError:
            return  # nobody sits there
