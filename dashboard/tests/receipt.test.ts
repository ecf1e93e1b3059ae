import { expect, test } from "vitest";
import { utf8 } from "../src/codec/bytes";
import { checkReceiptFile } from "../src/receipt/check";
import { claimFindings, claimNoChangePasses, type ReceiptCase } from "./receipt_files";
import { unhex, vectors } from "./vectors";

const { files, output } = vectors<{ files: ReceiptCase[]; output: string }>("receipts");
const anchored = files[0] as ReceiptCase;

claimFindings(files);
claimNoChangePasses(anchored);

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
