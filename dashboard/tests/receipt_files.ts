/** What every vector of receipt files claims, and what holds of each file whatever is in it. */

import { expect, test } from "vitest";
import { checkReceiptFile } from "../src/receipt/check";
import { unhex } from "./vectors";

export interface ReceiptCase {
  name: string;
  cluster: string;
  file: string;
  valid: boolean;
  checks: string[];
  failed: string[];
}

/** Claim that each file is found to be what its vector says. */
export function claimFindings(files: ReceiptCase[]): void {
  test.each(files)("$name: the findings are those of the vectors", (each) => {
    const report = checkReceiptFile(unhex(each.file), { pinned: unhex(each.cluster) });
    const failed = report.checks.filter((check) => !check.ok).map((check) => check.name);
    expect(report.checks.map((check) => check.name)).toEqual(each.checks);
    expect(failed).toEqual(each.failed);
    expect(report.isValid).toBe(each.valid);
  });
}

/** Claim that a good file is never valid once any of its bytes was changed. */
export function claimNoChangePasses(good: ReceiptCase): void {
  test("a file is never valid once any of its bytes was changed", { timeout: 60_000 }, () => {
    const file = unhex(good.file);
    for (let at = 0; at < file.length; at += 37) {
      const changed = Uint8Array.from(file);
      changed[at] = (changed[at] as number) ^ 0x01;
      expect(checkReceiptFile(changed).isValid, `byte ${at}`).toBe(false);
    }
  });
}
