/** RFC 9162 Merkle trees: heads and inclusion proofs (protocols/02-merkle.md). */

import { type Bytes, sha256 } from "./bytes";

const LEAF = Uint8Array.of(0);
const BRANCH = Uint8Array.of(1);

/** The head of the tree without leaves. */
export const EMPTY_HEAD = sha256(new Uint8Array());

/** Hash a leaf's data (section 2.1.1). */
export function leafHash(data: Bytes): Bytes {
  return sha256(LEAF, data);
}

/** Hash two subtrees into their parent (section 2.1.1). */
export function branchHash(left: Bytes, right: Bytes): Bytes {
  return sha256(BRANCH, left, right);
}

/** Give a tree's head; `known` gives that of a subtree, by its first leaf and its size (2.1.1). */
export function headOf(
  leaf: (index: number) => Bytes,
  start: number,
  size: number,
  known: (start: number, size: number) => Bytes | undefined = () => undefined,
): Bytes {
  const given = known(start, size);
  if (given !== undefined) return given;
  if (size === 1) return leaf(start);
  const left = 2 ** (31 - Math.clz32(size - 1));
  return branchHash(
    headOf(leaf, start, left, known),
    headOf(leaf, start + left, size - left, known),
  );
}

/** Give the root that an inclusion proof leads to, or null when its shape is wrong (2.1.3.2). */
export function rootFromInclusion(
  leaf: Bytes,
  index: bigint,
  size: bigint,
  path: readonly Bytes[],
): Bytes | null {
  if (index < 0n || index >= size) return null;
  let [first, last, current] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (last === 0n) return null;
    if ((first & 1n) === 1n || first === last) {
      current = branchHash(sibling, current);
      while (first !== 0n && (first & 1n) === 0n) {
        first >>= 1n;
        last >>= 1n;
      }
    } else {
      current = branchHash(current, sibling);
    }
    first >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? current : null;
}
