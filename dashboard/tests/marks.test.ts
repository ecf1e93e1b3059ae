import { expect, test } from "vitest";
import { checkReceiptFile } from "../src/receipt/check";
import { claimFindings, claimNoChangePasses, type ReceiptCase } from "./receipt_files";
import { unhex, vectors } from "./vectors";

const { files } = vectors<{ files: ReceiptCase[] }>("marks");
const good = files[0] as ReceiptCase;

claimFindings(files);
claimNoChangePasses(good);

test("whose states an answer stands on is said, and that it is their word", () => {
  const report = checkReceiptFile(unhex(good.file), { pinned: unhex(good.cluster) });
  const { detail } = report.checks.find((check) => check.name === "receipt 0") ?? { detail: "" };
  expect(detail).toMatch(
    /gone on from states of \w{16} to gas 1000000, then \w{16} to gas 2000000/,
  );
  expect(report.trust.some((each) => each.includes("whose word was false"))).toBe(true);
});
