/** Bitcoin as arithmetic: is a root in a transaction, that in a block, and that under work? */

import { type Bytes, concat, equal, hex, sha256, utf8 } from "../codec/bytes";

export const CONFIRMATIONS_MIN = 6;
const HASH_BYTES = 32;
const HEADER_BYTES = 80;
const TRANSACTION_BYTES_MAX = 400_000;
const BRANCH_DEPTH_MAX = 20;
const FOLLOWING_MAX = 2016;
const AMOUNT_MAX_SAT = 2_100_000_000_000_000n;

const DIFFICULTY_ONE = targetFromBits(0x1d00ffff);

/**
 * The easiest target that an anchor's headers may claim on each network. On the main network it is
 * far below the limit: seven headers at difficulty 1 are minutes of work for anyone, and
 * difficulty 10^13 was passed in 2019.
 */
export const NETWORKS: ReadonlyMap<string, bigint> = new Map([
  ["main", DIFFICULTY_ONE / 10n ** 13n],
  ["testnet4", DIFFICULTY_ONE],
  ["signet", targetFromBits(0x1e0377ae)],
  ["regtest", targetFromBits(0x207fffff)],
]);

/** An anchor's block as it is shown, when everything about it holds. */
export interface AnchorFound {
  readonly block: string;
  readonly timeS: number;
  readonly confirmations: number;
}

export interface Anchor {
  readonly rawTx: Bytes;
  readonly index: bigint;
  readonly siblings: readonly Bytes[];
  readonly header: Bytes;
  readonly followingHeaders: readonly Bytes[];
}

/** Check that a root is committed by a transaction under enough work; a text says what is wrong. */
export function checkAnchor(root: Bytes, anchor: Anchor, targetMax: bigint): AnchorFound | string {
  const base = withoutWitness(anchor.rawTx);
  if (typeof base === "string") return base;
  // CVE-2017-12842: 64 bytes also read as two hashes, an inner place of a Merkle tree.
  if (base.bytes.length === 2 * HASH_BYTES) return "a transaction of 64 bytes is ambiguous";
  const script = concat(Uint8Array.of(0x6a, 36), utf8("AMB1"), root);
  if (!base.scripts.some((each) => equal(each, script))) return "no output commits to the root";
  const headers = [anchor.header, ...anchor.followingHeaders];
  if (anchor.followingHeaders.length > FOLLOWING_MAX) return "too many headers follow the anchor's";
  if (headers.some((header) => header.length !== HEADER_BYTES)) return "a header has no 80 bytes";
  const led = rootFromBranch(doubleSha256(base.bytes), anchor.index, anchor.siblings);
  if (led === null || !equal(led, anchor.header.subarray(36, 68))) {
    return "the transaction is not in the block of this header";
  }
  for (const [at, header] of headers.entries()) {
    const target = targetFromBits(uint32(header, 72));
    const hash = doubleSha256(header);
    if (target <= 0n || target > targetMax || littleEndian(hash) > target) {
      return `header ${at} does not show the work that its network asks for`;
    }
    const next = headers[at + 1];
    if (next !== undefined && !equal(next.subarray(4, 36), hash)) {
      return `header ${at + 1} does not follow header ${at}`;
    }
  }
  if (headers.length < CONFIRMATIONS_MIN) {
    return `${headers.length} confirmations of ${CONFIRMATIONS_MIN} needed`;
  }
  return {
    block: hex(doubleSha256(anchor.header).reverse()),
    timeS: uint32(anchor.header, 68),
    confirmations: headers.length,
  };
}

function doubleSha256(data: Bytes): Bytes {
  return sha256(sha256(data));
}

function littleEndian(bytes: Bytes): bigint {
  return BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);
}

function uint32(data: Bytes, at: number): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(at, true);
}

/** Expand compact bits to a target; 0, which no hash meets, when they encode none. */
export function targetFromBits(bits: number): bigint {
  const [exponent, mantissa] = [bits >>> 24, BigInt(bits & 0x7fffff)];
  if ((bits & 0x800000) !== 0 || exponent > 34) return 0n;
  return exponent > 3
    ? mantissa << BigInt(8 * (exponent - 3))
    : mantissa >> BigInt(8 * (3 - exponent));
}

function rootFromBranch(txid: Bytes, index: bigint, siblings: readonly Bytes[]): Bytes | null {
  const depth = siblings.length;
  if (depth > BRANCH_DEPTH_MAX || index < 0n || index >= 1n << BigInt(depth)) return null;
  let [current, place] = [txid, index];
  for (const sibling of siblings) {
    if (sibling.length !== HASH_BYTES) return null;
    const isRight = (place & 1n) === 1n;
    // Only a right-hand copy pads a level; as a left-hand one it names two places at once.
    if (isRight && equal(sibling, current)) return null;
    current = doubleSha256(isRight ? concat(sibling, current) : concat(current, sibling));
    place >>= 1n;
  }
  return current;
}

interface Base {
  readonly bytes: Bytes;
  readonly scripts: readonly Bytes[];
}

class Fault extends Error {}

/** Give what a transaction's id is the hash of, and its outputs' scripts; or what is wrong. */
function withoutWitness(raw: Bytes): Base | string {
  if (raw.length > TRANSACTION_BYTES_MAX) return "the transaction is too large";
  try {
    return read(raw);
  } catch (error) {
    if (error instanceof Fault) return error.message;
    throw error;
  }
}

function read(raw: Bytes): Base {
  const reader = new Reader(raw);
  const version = reader.take(4);
  const hasWitness = raw[4] === 0 && raw[5] === 1;
  if (hasWitness) reader.take(2);
  const start = reader.at;
  const inputs = reader.count(41);
  for (let each = 0; each < inputs; each += 1) {
    reader.take(36);
    reader.take(reader.size());
    reader.take(4);
  }
  const scripts = Array.from({ length: reader.count(9) }, () => {
    const value = littleEndian(reader.take(8));
    if (value > AMOUNT_MAX_SAT) throw new Fault("an output is outside the money that can exist");
    return reader.take(reader.size());
  });
  const body = raw.subarray(start, reader.at);
  if (inputs === 0 || scripts.length === 0)
    throw new Fault("a transaction without inputs or outputs");
  let items = 0;
  for (let each = 0; hasWitness && each < inputs; each += 1) {
    for (let left = reader.count(1); left > 0; left -= 1, items += 1) reader.take(reader.size());
  }
  if (hasWitness && items === 0) throw new Fault("it is marked for a witness and has none");
  const lockTime = reader.take(4);
  if (reader.at !== raw.length) throw new Fault("bytes follow the transaction");
  return { bytes: concat(version, body, lockTime), scripts };
}

class Reader {
  at = 0;

  constructor(private readonly data: Bytes) {}

  take(size: number): Bytes {
    if (this.at + size > this.data.length) throw new Fault("the transaction ends too early");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  /** Take a compact size; only its shortest form is accepted. */
  size(): number {
    const first = this.take(1)[0] as number;
    if (first < 0xfd) return first;
    const width = 1 << (first - 0xfc);
    const value = Number(littleEndian(this.take(width)));
    if (value < (width === 2 ? 0xfd : 2 ** (4 * width))) {
      throw new Fault("a compact size is not in its shortest form");
    }
    return value;
  }

  /** Take the length of a list, bounded by the bytes that are left for its items. */
  count(itemBytesMin: number): number {
    const count = this.size();
    if (count * itemBytesMin > this.data.length - this.at) {
      throw new Fault("the transaction announces more than its bytes could hold");
    }
    return count;
  }
}
