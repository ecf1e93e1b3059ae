import { expect, test } from "vitest";
import { checkReceiptFile } from "../src/receipt/check";
import { unhex, vectors } from "./vectors";

interface Case {
  name: string;
  cluster: string;
  file: string;
  valid: boolean;
  checks: string[];
  failed: string[];
}

const { files } = vectors<{ files: Case[] }>("marks");
const good = files[0] as Case;

test.each(files)("$name: the findings are those of the vectors", (each) => {
  const report = checkReceiptFile(unhex(each.file), { pinned: unhex(each.cluster) });
  const failed = report.checks.filter((check) => !check.ok).map((check) => check.name);
  expect(report.checks.map((check) => check.name)).toEqual(each.checks);
  expect(failed).toEqual(each.failed);
  expect(report.isValid).toBe(each.valid);
});

test("whose states an answer stands on is said, and that it is their word", () => {
  const report = checkReceiptFile(unhex(good.file), { pinned: unhex(good.cluster) });
  const { detail } = report.checks.find((check) => check.name === "receipt 0") ?? { detail: "" };
  expect(detail).toMatch(
    /gone on from states of \w{16} to gas 1000000, then \w{16} to gas 2000000/,
  );
  expect(report.trust.some((each) => each.includes("whose word was false"))).toBe(true);
});

test("a file with marks is never valid once any of its bytes was changed", {
  timeout: 60_000,
}, () => {
  const file = unhex(good.file);
  for (let at = 0; at < file.length; at += 37) {
    const changed = Uint8Array.from(file);
    changed[at] = (changed[at] as number) ^ 0x01;
    expect(checkReceiptFile(changed).isValid, `byte ${at}`).toBe(false);
  }
});
