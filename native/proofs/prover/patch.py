# ruff: noqa: INP001
"""Copies three crates as they were published, and changes the copies, into a folder to build in.

Without a change of what is computed: the constraint evaluator, Poseidon2, the transforms and the
evaluation of polynomials go 4 to 16 numbers at a time, and the evaluator adds up to four terms
before it reduces their sum (`kernels/`; not where the kernels are portable); and big integers,
which no image of ours asks for, are left out together with malachite, the one dependency under the
LGPL. Every change names the text that it replaces, so that another release of a crate fails here
and not in a proof.
Proofs are judged by the verifier, which is built from the crates as published.
"""

import argparse
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE / "kernels"
CRATES = ("risc0-circuit-rv32im", "risc0-circuit-rv32im-sys", "risc0-zkp")
CONFIG = "".join(f'[patch.crates-io.{name}]\npath = "patched/{name}"\n\n' for name in CRATES)
EVALUATORS = 4
TERM = re.compile(r"  VExt (x\d+) = ((?:x|arg)\d+) \+ (x\d+) \* poly_mix\[(\d+)\];")
TERMS_MAX = 4  # four products of numbers below the prime fit into 64 bits
# Rows at a time, by the registers that hold them: x86-64's, and arm64's.
LANES = {"avx512": 16, "avx2": 8, "neon": 4}
# Of what lanes.h begins.
END = "#if defined(__clang__) && AMBIENT_LANES != 4\n#pragma clang attribute pop\n#endif\n"


def published() -> dict[str, Path]:
    """Find the crates of the lock file in cargo's own cache, whose hashes cargo has checked."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--manifest-path"]
    told = subprocess.run(
        [*command, str(HERE / "published" / "Cargo.toml")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    packages = json.loads(told.stdout)["packages"]
    return {each["name"]: Path(each["manifest_path"]).parent for each in packages}


def replace(path: Path, *changes: tuple[str, str]) -> None:
    """Replace texts that must be there exactly once."""
    text = path.read_text("utf-8")
    for old, new in changes:
        if text.count(old) != 1:
            msg = f"{path} is not the file that patch.py knows how to change"
            raise RuntimeError(msg)
        text = text.replace(old, new)
    path.write_text(text, "utf-8")


def between(path: Path, first: str, behind: str, new: str) -> None:
    """Replace what lies from one text to before another."""
    text = path.read_text("utf-8")
    if text.count(first) != 1 or behind not in text:
        msg = f"{path} is not the file that patch.py knows how to change"
        raise RuntimeError(msg)
    start = text.index(first)
    end = text.index(behind, start)
    path.write_text(text[:start] + new + text[end:], "utf-8")


def leave_big_integers_out(crate: Path) -> None:
    """Drop malachite and what needed it."""
    folder = crate / "src" / "execute"
    shutil.rmtree(folder / "bigint")
    (folder / "bibc.rs").unlink()
    shutil.copyfile(KERNELS / "no_bigint.rs", folder / "bigint.rs")
    replace(
        folder / "mod.rs",
        ("pub(crate) mod bibc;\n", ""),
        ("    bigint::analyze::analyze as bigint_analyze,\n", ""),
    )
    manifest = crate / "Cargo.toml"
    text = manifest.read_text("utf-8").replace('    "dep:malachite",\n', "")
    text = re.sub(r"\n\[\[bin\]\]\n(?:.+\n)+", "\n", text)
    text = re.sub(r"\n\[[^\n]*dependencies\.malachite\]\n(?:.+\n)+", "\n", text)
    manifest.write_text(text, "utf-8")


def evaluate_in_lanes(circuit: Path, kernels: Path, lanes: int) -> None:
    """Let the constraint evaluator take as many rows at a time as a register holds."""
    folder = kernels / "kernels" / "cxx"
    for number in range(EVALUATORS):
        path = folder / f"rust_poly_fp_{number}.cpp"
        text = f"#define AMBIENT_LANES {lanes}\n" + in_lanes(path.read_text("utf-8"))
        if number == 0:
            text += (KERNELS / "entry.inc").read_text("utf-8")
        (folder / f"lanes_{number}.cpp").write_text(text + END, "utf-8")
        path.unlink()
    (folder / "eval_check.cpp").unlink()
    shutil.copyfile(KERNELS / "lanes.h", folder / "lanes.h")
    replace(
        kernels / "src" / "lib.rs",
        (
            "    pub fn risc0_circuit_rv32im_cpu_witgen(",
            "    pub fn ambient_lanes_count() -> usize;\n"
            "    pub fn ambient_lanes_check(\n"
            "        begin: usize, end: usize, domain: usize, powers: *const u32,\n"
            "        accum: *const u32, data: *const u32, out: *const u32, out_count: usize,\n"
            "        mix: *const u32, mix_count: usize, inverses: *const u32, check: *mut u32,\n"
            "    );\n\n"
            "    pub fn risc0_circuit_rv32im_cpu_witgen(",
        ),
    )
    host = circuit / "src" / "prove" / "hal" / "cpu.rs"
    between(
        host,
        "        let args: &[&[Val]] = &[accum, data, out, mix];\n",
        "\n    fn accumulate(",
        (KERNELS / "check.rs.inc").read_text("utf-8"),
    )
    replace(host, ("risc0_circuit_rv32im_cpu_accum, risc0_circuit_rv32im_cpu_poly_fp,",
                   "risc0_circuit_rv32im_cpu_accum,"))  # fmt: skip


def in_lanes(text: str) -> str:
    """Rewrite a published evaluator, which is generated and regular, to the types of lanes.h."""
    text = re.sub(r"^\s*//.*\n", "", text, flags=re.MULTILINE)
    # Before any other header: what a file may use of the processor, it says first.
    text = text.replace('#include "fp.h"', '#include "lanes.h"')
    text = text.replace('#include "fpext.h"\n', "")
    text = text.replace("risc0::circuit::rv32im_v2", "ambient_lanes")
    text = re.sub(r"constexpr Fp (x\d+)\((\d+)\);", r"constexpr KFp \1(\2);", text)
    text = text.replace("FpExt* poly_mix", "const Power* poly_mix")
    text = re.sub(r"\bFpExt\b", "VExt", text)
    text = re.sub(r"\bFp\b", "VFp", text)
    text = re.sub(
        r"((?:/\*\w+=\*/)?(?:args\[\d+\]|arg\d+))"
        r"\[(\d+) \* steps \+ \(\(cycle - kInvRate \* (\d+)\) & mask\)\]",
        r"rows(\1, size_t(\2) * steps, (cycle - kInvRate * \3) & mask, mask)",
        text,
    )
    text = re.sub(r"constexpr VExt (x\d+)\(", r"constexpr KExt \1(", text)
    text = text.replace("= VExt(0);", "= KExt(0, 0, 0, 0);")
    functions = re.split(r"(?<=\n}\n)|(?=^VExt \w+\([^\n]*\{$)", text, flags=re.MULTILINE)
    return "".join(in_sums(function) for function in functions)


def in_sums(function: str) -> str:
    """Add terms of a chain up to four at a time, so that they are reduced once."""
    uses = Counter(re.findall(r"\b(?:x|arg)\d+\b", function))
    # Four coordinates, and whatever is computed from such.
    wide = set(re.findall(r"\b(?:VExt|KExt)\*? ((?:x|arg)\d+)\b", function))
    for name, value in re.findall(r"^  auto (x\d+) = (.*);$", function, re.MULTILINE):
        if wide & set(re.findall(r"\b(?:x|arg)\d+\b", value)):
            wide.add(name)
    lines: list[str] = []
    sums: list[tuple[str, str]] = []
    base = newest = ""

    def write_sum() -> None:
        if sums:
            terms = ", ".join(factor for factor, _ in sums)
            which = sum(int(number) << 16 * place for place, (_, number) in enumerate(sums))
            lines.append(f"  VExt {newest} = added({base}, poly_mix, {which:#x}, {terms});")
            sums.clear()

    for line in function.split("\n"):
        found = TERM.fullmatch(line)
        if found and found[3] not in wide:
            # A name is used twice where it is nothing but passed on: when made, when added to.
            if not (sums and found[2] == newest and uses[newest] == 2 and len(sums) < TERMS_MAX):
                write_sum()
                base = found[2]
            newest = found[1]
            sums.append((found[3], found[4]))
            continue
        if sums and re.search(rf"\b{newest}\b", line):
            write_sum()
        wider = (
            f"  VExt {found[1]} = added({found[2]}, {found[3]}, poly_mix[{found[4]}]);"
            if found
            else ""
        )
        lines.append(wider or line)
    return "\n".join(lines)


def hash_in_lanes(proofs: Path) -> None:
    """Let Poseidon2 take as many rows at a time as a register holds."""
    hashes = proofs / "src" / "core" / "hash" / "poseidon2"
    for name in ("lanes.rs", "transforms.rs"):
        shutil.copyfile(KERNELS / name, hashes / name)
    replace(hashes / "mod.rs", ("mod rng;\n", "mod rng;\npub mod lanes;\npub mod transforms;\n"))
    module = "crate::core::hash::poseidon2::lanes"
    replace(
        proofs / "src" / "hal" / "cpu.rs",
        (
            "        let matrix = &*matrix.as_slice();\n"
            "        let hashfn = self.suite.hashfn.as_ref();\n",
            "        let matrix = &*matrix.as_slice();\n"
            f'        if self.suite.name == "poseidon2" && row_size % {module}::LANES == 0 {{\n'
            f"            use {module}::{{LANES, hash_rows}};\n"
            "            assert_eq!(core::mem::size_of::<Self::Elem>(), 4);\n"
            "            let at = matrix.as_ptr() as usize;\n"
            "            output.par_chunks_mut(LANES).enumerate().for_each(|(i, o)| unsafe {\n"
            "                hash_rows(at as *const u32, row_size, col_size, i * LANES, o)\n"
            "            });\n"
            "            return;\n"
            "        }\n"
            "        let hashfn = self.suite.hashfn.as_ref();\n",
        ),
        (
            "        let input = io.slice(input_size, input_size);\n"
            "        let hashfn = self.suite.hashfn.as_ref();\n",
            "        let input = io.slice(input_size, input_size);\n"
            f'        if self.suite.name == "poseidon2" && output_size % {module}::LANES == 0 {{\n'
            f"            use {module}::{{LANES, hash_pairs}};\n"
            "            let (from, to) = (input.get_ptr() as usize, output.get_ptr() as usize);\n"
            "            (0..output_size / LANES).into_par_iter().for_each(|i| unsafe {\n"
            "                let to = (to as *mut Digest).add(i * LANES);\n"
            "                let digests = core::slice::from_raw_parts_mut(to, LANES);\n"
            "                hash_pairs((from as *const Digest).add(2 * i * LANES), digests)\n"
            "            });\n"
            "            return;\n"
            "        }\n"
            "        let hashfn = self.suite.hashfn.as_ref();\n",
        ),
    )


def transform_in_lanes(proofs: Path) -> None:
    """Let transforms and evaluations take as many numbers at a time as a register holds."""
    for name, behind, before in (
        (
            "evaluate",
            "            assert_eq!(row_size * count, output.size());\n",
            "            output\n                .as_slice_mut()\n"
            "                .par_chunks_exact_mut(row_size)\n",
        ),
        (
            "interpolate",
            "",
            "        io.as_slice_mut()\n            .par_chunks_exact_mut(row_size)\n"
            "            .for_each(|row| {\n                interpolate_ntt",
        ),
        ("shift", "        let mut io = io.as_slice_mut();\n", "        (&mut io[..], 0..count)\n"),
        ("values", "", "        (&which[..], &xs[..], &mut out[..])\n"),
    ):
        new = (KERNELS / f"{name}.rs.inc").read_text("utf-8")
        replace(proofs / "src" / "hal" / "cpu.rs", (behind + before, behind + new + before))


def change(crates: dict[str, Path], made: Path, lanes: int | None) -> None:
    """Copy the crates, change the copies, and let cargo take them instead."""
    for name in CRATES:
        shutil.copytree(crates[name], made / "patched" / name)
    patched = {name: made / "patched" / name for name in CRATES}
    leave_big_integers_out(patched["risc0-circuit-rv32im"])
    if lanes is not None:
        evaluate_in_lanes(
            patched["risc0-circuit-rv32im"], patched["risc0-circuit-rv32im-sys"], lanes
        )
        hash_in_lanes(patched["risc0-zkp"])
        transform_in_lanes(patched["risc0-zkp"])
    # Cargo judges copies as ours, but what only other builds of them use is no fault.
    for copy in patched.values():
        with (copy / "Cargo.toml").open("a", encoding="utf-8") as manifest:
            manifest.write('\n[lints.rust]\ndead_code = "allow"\nunused_imports = "allow"\n')
    (made / ".cargo").mkdir()
    (made / ".cargo" / "config.toml").write_text(CONFIG, "utf-8")


def lay_out(folder: Path, kernels: str) -> None:
    """Put the prover's sources and the changed crates into a folder; what is the same stays."""
    made = folder.with_name(folder.name + ".new")
    shutil.rmtree(made, ignore_errors=True)
    crates = published()
    shutil.copytree(HERE / "src", made / "src")
    if kernels == "published":
        shutil.copyfile(HERE / "published" / "Cargo.lock", made / "Cargo.lock")
    else:
        shutil.copyfile(HERE / "Cargo.lock", made / "Cargo.lock")
        change(crates, made, LANES.get(kernels))
    manifest = (HERE / "Cargo.toml").read_text("utf-8")
    verifier = (HERE.parent / "verifier").as_posix()
    (made / "Cargo.toml").write_text(manifest.replace("../verifier", verifier), "utf-8")
    for path in sorted(made.rglob("*")):
        place = folder / path.relative_to(made)
        if path.is_file() and not (place.is_file() and place.read_bytes() == path.read_bytes()):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not (made / path.relative_to(folder)).exists():
            path.unlink()
    shutil.rmtree(made)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to build")
    parser.add_argument(
        "--kernels",
        choices=(*LANES, "portable", "published"),
        required=True,
        help="rows at a time; portable: one; published: no change at all, to compare with",
    )
    arguments = parser.parse_args()
    lay_out(arguments.folder.absolute(), arguments.kernels)
