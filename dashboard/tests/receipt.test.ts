import { expect, test } from "vitest";
import { utf8 } from "../src/codec/bytes";
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

const { files, output } = vectors<{ files: Case[]; output: string }>("receipts");
const anchored = files[0] as Case;

test.each(files)("$name: the findings are those of the vectors", (each) => {
  const report = checkReceiptFile(unhex(each.file), { pinned: unhex(each.cluster) });
  const failed = report.checks.filter((check) => !check.ok).map((check) => check.name);
  expect(report.checks.map((check) => check.name)).toEqual(each.checks);
  expect(failed).toEqual(each.failed);
  expect(report.isValid).toBe(each.valid);
});

test("a file is never valid once any of its bytes was changed", { timeout: 60_000 }, () => {
  const file = unhex(anchored.file);
  for (let at = 0; at < file.length; at += 37) {
    const changed = Uint8Array.from(file);
    changed[at] = (changed[at] as number) ^ 0x01;
    expect(checkReceiptFile(changed).isValid, `byte ${at}`).toBe(false);
  }
});

test("a file that was cut is refused at any length", () => {
  const file = unhex(anchored.file);
  for (let size = 0; size < file.length; size += 101) {
    expect(checkReceiptFile(file.subarray(0, size)).checks[0]?.name).toBe("format");
  }
});

test("another cluster than the one that was meant is named", () => {
  const report = checkReceiptFile(unhex(anchored.file), { pinned: new Uint8Array(32) });
  expect(report.checks.find((check) => check.name === "cluster")?.ok).toBe(false);
});

test("the output is compared by hash and size", () => {
  const file = unhex(anchored.file);
  expect(checkReceiptFile(file, { output: unhex(output) }).isValid).toBe(true);
  expect(checkReceiptFile(file, { output: utf8("another") }).isValid).toBe(false);
});

test("a file without a pinned cluster says that anyone can invent one", () => {
  const { trust } = checkReceiptFile(unhex(anchored.file));
  expect(trust[0]).toMatch(/anyone can invent a cluster/);
});
