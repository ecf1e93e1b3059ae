# ruff: noqa: INP001
"""Builds the wheel: maturin, after wasmi has been mended.

wasmi 2.0.0 evaluates `select` wrongly if its condition is `x == 0` or `x != 0` of an x that lies in
a stack slot: it drops the comparison and goes on to test whatever its register holds. Differential
testing found it (docs/fuzzing.md). No later version is published, so a copy of that crate, locked
by `patched/pristine/Cargo.lock`, gets the correction below; `Cargo.toml` builds with the copy.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import maturin

_PATCHED = Path(__file__).parent / "patched"
_MENDED = _PATCHED / "wasmi"
_FILE = Path("src/engine/translator/func/mod.rs")
_WRONG = """\
        let fusion = self.try_fuse_select(condition)?;
        if fusion.is_fused() {
"""
_RIGHT = """\
        let fusion = self.try_fuse_select(condition)?;
        let mut condition = condition;
        if fusion.is_fused() {
            // The compared value is the condition from here on, wherever it lies.
            if let Some(Op::I32Eq_Rsi { lhs, .. } | Op::I32NotEq_Rsi { lhs, .. }) =
                self.instrs.peek_staged()
            {
                condition = Location::Slot(lhs);
            }
"""
Settings = Mapping[str, Any] | None


def mend() -> None:
    """Put the mended copy in its place; it is left alone if it is there."""
    command = ["cargo", "metadata", "--format-version=1", "--locked"]
    manifest = _PATCHED / "pristine" / "Cargo.toml"
    told = subprocess.run(
        [*command, "--manifest-path", str(manifest)], check=True, capture_output=True, text=True
    )
    packages = json.loads(told.stdout)["packages"]
    (published,) = [Path(each["manifest_path"]) for each in packages if each["name"] == "wasmi"]
    source = (published.parent / _FILE).read_text("utf-8")
    if source.count(_WRONG) != 1:
        msg = f"{published.parent / _FILE} is not the file that backend.py knows how to mend"
        raise RuntimeError(msg)
    mended = source.replace(_WRONG, _RIGHT)
    place = _MENDED / _FILE
    if place.exists() and place.read_text("utf-8") == mended:
        return
    shutil.rmtree(_MENDED, ignore_errors=True)
    shutil.copytree(published.parent, _MENDED)
    place.write_text(mended, "utf-8")


def build_wheel(folder: str, settings: Settings = None, metadata: str | None = None) -> str:
    """Build a wheel (PEP 517)."""
    mend()
    return str(maturin.build_wheel(folder, settings, metadata))


def prepare_metadata_for_build_wheel(folder: str, settings: Settings = None) -> str:
    """Write the wheel's metadata (PEP 517)."""
    mend()
    return str(maturin.prepare_metadata_for_build_wheel(folder, settings))


def get_requires_for_build_wheel(settings: Settings = None) -> list[str]:
    """Name what the build needs beside maturin (PEP 517)."""
    return list(maturin.get_requires_for_build_wheel(settings))


if __name__ == "__main__":
    mend()
