"""What a campaign did, as a line and as Markdown."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Summary:
    """Counts by source and outcome, added up over all children."""

    seed: int
    first: int
    engines: dict[str, str]
    rewriter_version: int
    numbers_end: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    finds: list[dict[str, Any]] = field(default_factory=list)

    def line(self, elapsed_s: float) -> str:
        """Say how far it is."""
        done = self.counts["executions"]
        return (
            f"{elapsed_s:.0f} s: {done} executions ({done / elapsed_s:.0f}/s), modules up to "
            f"{self.numbers_end}, {len(self.finds)} finds, {self.aborted()} aborted"
        )

    def aborted(self) -> int:
        """Count the executions that some engine gave up."""
        return sum(count for name, count in self.counts.items() if name.startswith("aborted"))

    def markdown(self, elapsed_s: float) -> str:
        """Write the summary as a section for docs/fuzzing.md."""
        engines = ", ".join(f"{name} {version}" for name, version in self.engines.items())
        done = self.counts["executions"]
        lines = [
            f"### Campaign {self.seed}, modules {self.first} to {self.numbers_end}",
            "",
            f"- engines: {engines}; rewriter version {self.rewriter_version}",
            f"- executions that every engine ran: {done:,}",
            f"- time: {elapsed_s:.0f} s, {done / max(elapsed_s, 1):.0f} executions a second",
            f"- differences: {len(self.finds)}",
            f"- given up by an engine, not compared: {self.aborted()}",
            "",
            "| source | modules | refused | invalid | executed | executions |",
            "|---|---|---|---|---|---|",
        ]
        sources = sorted(n.removeprefix("modules ") for n in self.counts if n[:8] == "modules ")
        columns = ("modules", "refused", "invalid", "executed modules", "executions")
        for source in sources:
            cells = [str(self.counts[f"{column} {source}"]) for column in columns]
            lines.append(f"| {source} | {' | '.join(cells)} |")
        lines += ["", "| outcome | executions |", "|---|---|"]
        for name, count in sorted(self.counts.items()):
            if name.startswith("outcome "):
                lines.append(f"| {name.removeprefix('outcome ').strip()} | {count} |")
        given_up = {n: c for n, c in self.counts.items() if n.startswith("aborted ")}
        if given_up:
            lines += ["", "| given up | times |", "|---|---|"]
            lines += [
                f"| {n.removeprefix('aborted ')} | {c} |" for n, c in sorted(given_up.items())
            ]
        for find in self.finds[:50]:
            lines.append(f"\nModule {find['number']}: {find['claim']}.")
            lines += [f"- {name}: `{what}`" for name, what in sorted(find["seen"].items())]
        return "\n".join(lines) + "\n"


def written(summary: Summary, elapsed_s: float, path: Path | None) -> None:
    """Write the summary if it is wanted; whole, so that a reader never sees half of it."""
    if path is None:
        return
    text = summary.markdown(elapsed_s)
    if path.exists() and not path.is_file():
        path.write_text(text, "utf-8")  # a pipe or a device is written, never replaced
        return
    draft = path.with_suffix(".part")
    draft.write_text(text, "utf-8")
    draft.replace(path)
