/** Bundles and the receipt of one of their items (protocols/19-bundles.md sections 1 and 5). */

import { type Bytes, equal, hex, sha256 } from "../codec/bytes";
import { DecodeError, decode } from "../codec/canonical";
import { bytes, int, list, type Read, sized, struct, text } from "../codec/fields";
import { leafHash, rootFromInclusion } from "../codec/merkle";
import type { Check } from "./examination";
import type { Extent, ReceiptFile, Result } from "./values";

const ITEM_VERSION = 1n;
const PATH_MAX = 8;
const REASON_MAX = 256;
const DIGEST = sized(32);
const NOTHING = sha256(new Uint8Array());
const PRINTABLE = /^[\x20-\x7e]*$/;
const OUTCOMES = ["completed", "trapped", "out of gas", "refused"];

const itemReceipt = struct({
  version: int,
  receipt: bytes,
  item: int,
  given: DIGEST,
  givenPath: list(DIGEST, 0, PATH_MAX),
  came: struct({ kind: int, reason: text, gas: int, output: bytes, outputSizeBytes: int }),
  camePath: list(DIGEST, 0, PATH_MAX),
});

/** The receipt of one item: the bundle's own, and two paths. */
export type ItemReceipt = Read<typeof itemReceipt>;

/** Read the receipt of an item; null where the bytes are none. */
export function readItemReceipt(data: Bytes, sizeMax: number): ItemReceipt | null {
  try {
    return itemReceipt(decode(data, sizeMax), "file");
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}

/** Count the inputs that a task's module is executed on, each by itself. */
export function itemsOf(extent: Extent): bigint {
  return extent.bundle?.items ?? 1n;
}

/** Tell whether a result's output is as large as the task allows, and of as many items. */
export function extentFits(result: Result, spec: ReceiptFile["spec"]): boolean {
  const { sizeBytes, bundle } = result.outputSizeBytes;
  if (sizeBytes < 0n || sizeBytes > spec.outputBytesMax) return false;
  const isExpected = spec.inputSizeBytes.bundle !== null && result.kind === 0n;
  return bundle === null
    ? !isExpected
    : isExpected && bundle.items === itemsOf(spec.inputSizeBytes);
}

/** Check an item's two paths against its bundle's receipt, and its output when that is given. */
export function itemChecks(
  file: ItemReceipt,
  task: ReceiptFile,
  output: Bytes | undefined,
): Check[] {
  const { came } = file;
  const items = itemsOf(task.spec.inputSizeBytes);
  const outcome = OUTCOMES[Number(came.kind)] ?? `outcome ${came.kind}`;
  const path = pathFault(task.spec.inputSizeBytes, file.given, file.item, file.givenPath);
  const checks = [
    checked("item input", path, `item ${file.item} of ${items}, leaf ${hex(file.given)}`),
    checked("item outcome", outcomeFault(file, task), `${outcome}, ${came.gas} gas`),
  ];
  if (file.version !== ITEM_VERSION) {
    const only = `version ${file.version} is unknown here, only ${ITEM_VERSION} is`;
    checks.push(checked("format", only, ""));
  }
  if (output) {
    const digest = sha256(output);
    const isSame = equal(digest, came.output) && BigInt(output.length) === came.outputSizeBytes;
    const fault = `the output has hash ${hex(digest)}, the receipt says ${hex(came.output)}`;
    const found = `${hex(digest)}, ${output.length} bytes`;
    checks.push(checked("output", isSame ? null : fault, found));
  }
  return checks;
}

function outcomeFault({ came, item, camePath }: ItemReceipt, task: ReceiptFile): string | null {
  const items = itemsOf(task.spec.inputSizeBytes);
  const gasMax = items > 0n ? task.spec.gasMax / items : 0n;
  const isPlain = came.reason.length <= REASON_MAX && PRINTABLE.test(came.reason);
  if (came.kind < 0n || came.kind > 3n || came.gas < 0n || came.gas > gasMax || !isPlain) {
    return "this is no outcome within the limits";
  }
  const size = came.outputSizeBytes;
  const isEmpty = equal(came.output, NOTHING);
  const sizeMax = came.kind === 0n ? task.spec.outputBytesMax : 0n;
  if (came.output.length !== 32 || size < 0n || size > sizeMax || (size === 0n) !== isEmpty) {
    return `an output of ${size} bytes with the hash ${hex(came.output)} is none of this outcome`;
  }
  const extent = task.settlement.result.outputSizeBytes;
  if (extent.bundle !== null && extent.bundle.items !== items) {
    return `the answer is of ${extent.bundle.items} items, the task has ${items}`;
  }
  return pathFault(extent, leafHash(came.raw), item, camePath);
}

function pathFault(extent: Extent, leaf: Bytes, item: bigint, path: readonly Bytes[]) {
  const { bundle } = extent;
  if (bundle === null) return "the task's receipt is not that of a bundle";
  const root = rootFromInclusion(leaf, item, bundle.items, path);
  if (root !== null && equal(root, bundle.root)) return null;
  return `the path does not lead from item ${item} to the root over ${bundle.items} items`;
}

function checked(name: string, fault: string | null, found: string): Check {
  return { name, ok: fault === null, detail: fault ?? found };
}
