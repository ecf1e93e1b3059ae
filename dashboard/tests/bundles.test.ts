import { expect, test } from "vitest";
import { checkReceiptFile, isItemReceipt } from "../src/receipt/check";
import { unhex, vectors } from "./vectors";

interface Bundles {
  cluster: string;
  receipt: string;
  item_receipts: string[];
  made_up_item_receipts: Record<string, string>;
}

const { cluster, receipt, item_receipts, made_up_item_receipts } = vectors<Bundles>("bundles");
const pinned = unhex(cluster);
const second = unhex(item_receipts[1] as string);

test("the receipt of a bundle, and of each of its items, holds", () => {
  expect(checkReceiptFile(unhex(receipt), { pinned }).isValid).toBe(true);
  expect(isItemReceipt(unhex(receipt))).toBe(false);
  for (const each of item_receipts) {
    const report = checkReceiptFile(unhex(each), { pinned });
    const names = report.checks.map((check) => check.name);
    expect(names.slice(-2)).toEqual(["item input", "item outcome"]);
    expect(report.isValid).toBe(true);
    expect(isItemReceipt(unhex(each))).toBe(true);
  }
});

test("an item's output is compared with its own outcome", () => {
  const output = new TextEncoder().encode("ONE");
  expect(checkReceiptFile(second, { output }).isValid).toBe(true);
  expect(checkReceiptFile(second, { output: second }).isValid).toBe(false);
});

test("an item's receipt is never valid once any of its bytes was changed", {
  timeout: 60_000,
}, () => {
  const own = second.length - 400; // behind the bundle's receipt
  for (let at = 0; at < second.length; at += at < own ? 401 : 19) {
    const changed = Uint8Array.from(second);
    changed[at] = (changed[at] as number) ^ 0x01;
    expect(checkReceiptFile(changed).isValid, `byte ${at}`).toBe(false);
  }
});

test("what no execution gives is no item's outcome, though a lone worker signed it", () => {
  expect(Object.keys(made_up_item_receipts).length).toBeGreaterThan(0);
  for (const [what, each] of Object.entries(made_up_item_receipts)) {
    const { checks } = checkReceiptFile(unhex(each));
    const wrong = checks.filter((check) => !check.ok).map((check) => check.name);
    expect(wrong, what).toEqual(["item outcome"]);
  }
});
