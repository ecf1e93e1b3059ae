/** A paused execution's state: does it have the root that was signed? (protocols/08 sections 4, 6) */

import { type Bytes, concat, equal, sha256, utf8 } from "../codec/bytes";
import { DecodeError, decode } from "../codec/canonical";
import { bytes, int, type Read, struct } from "../codec/fields";
import { headOf, leafHash } from "../codec/merkle";

const PAGE_BYTES = 65_536;
const HEADER_BYTES_MAX = 1024;
const VALUE_BYTES = 8;
const VALUES_MAX = 1n << 21n;
const HOST_BYTES_MAX = BigInt((64 << 20) + (1 << 20) + 1024);
const MEMORY_BYTES_CEILING = 8192n * 65_536n;
const PARTIAL_MARK = Uint8Array.of(0xff, 0xff, 0xff, 0xff);
const HEADER_TAG = utf8("ambient/state-header/1\0");
const PAGE_TAG = utf8("ambient/state-page/1\0");
const ZERO_LEAF = leafHash(concat(PAGE_TAG, new Uint8Array(PAGE_BYTES)));

const limits = struct({
  memoryBytesMax: int,
  wallMsMax: int,
  gasMax: int,
  outputBytesMax: int,
  logBytesMax: int,
});

const stateHeader = struct({
  version: int,
  module: bytes,
  input: bytes,
  seed: bytes,
  limits,
  stage: int,
  gasLeft: int,
  values: bytes,
  valuesCount: int,
  host: bytes,
  hostBytes: int,
  pages: int,
});

/** What is known of a state once its bytes were read whole. */
export interface State {
  readonly root: Bytes;
  readonly gasIndex: bigint;
  readonly input: Bytes;
  readonly pages: number;
  readonly pagesLeftOut: number;
}

/** Read a state; throw DecodeError unless the bytes are its canonical form. */
export function readState(data: Bytes): State {
  const pieces = new Pieces(data);
  const isPartial = equal(data.subarray(0, 4), PARTIAL_MARK);
  if (isPartial) pieces.take(4);
  const header = readHeader(pieces);
  const count = Number(header.pages);
  const carried = readBits(pieces, count);
  const values = pieces.take(Number(header.valuesCount) * VALUE_BYTES);
  const host = pieces.take(Number(header.hostBytes));
  if (!equal(sha256(values), header.values) || !equal(sha256(host), header.host)) {
    throw bad("does not hold the values that its header names");
  }
  const pages = new Map<number, Bytes>();
  for (const page of carried) pages.set(page, pageLeaf(pieces.take(PAGE_BYTES)));
  const leftOut = isPartial ? readLeftOut(pieces, count, carried) : new Map<string, Bytes>();
  if (!pieces.isDone) throw bad("is longer than its contents");
  const headerLeaf = leafHash(concat(HEADER_TAG, header.raw));
  const leaf = (index: number) => (index === 0 ? headerLeaf : (pages.get(index - 1) ?? ZERO_LEAF));
  const root = headOf(leaf, 0, count + 1, (start, size) => leftOut.get(`${start} ${size}`));
  return {
    root,
    gasIndex: header.limits.gasMax - header.gasLeft,
    input: header.input,
    pages: count,
    pagesLeftOut: [...leftOut.keys()].reduce((sum, each) => sum + Number(each.split(" ")[1]), 0),
  };
}

function pageLeaf(page: Bytes): Bytes {
  if (page.every((byte) => byte === 0)) throw bad("carries a zero page");
  return leafHash(concat(PAGE_TAG, page));
}

function readHeader(pieces: Pieces): Read<typeof stateHeader> {
  const size = new DataView(pieces.take(4).slice().buffer).getUint32(0);
  if (size > HEADER_BYTES_MAX) throw bad("has a header that is too long");
  const header = stateHeader(decode(pieces.take(size), HEADER_BYTES_MAX), "header");
  const digests = [header.module, header.input, header.seed, header.values, header.host];
  const { limits: most } = header;
  const bounds: [bigint, bigint][] = [
    [header.gasLeft, most.gasMax],
    [header.valuesCount, VALUES_MAX],
    [header.hostBytes, HOST_BYTES_MAX],
    [header.pages, most.memoryBytesMax / BigInt(PAGE_BYTES)],
    [most.memoryBytesMax - BigInt(PAGE_BYTES), MEMORY_BYTES_CEILING - BigInt(PAGE_BYTES)],
    [most.wallMsMax - 1n, 3_600_000n - 1n],
    [most.gasMax - 1n, (1n << 62n) - 1n],
    [most.outputBytesMax, BigInt(64 << 20)],
    [most.logBytesMax, BigInt(1 << 20)],
    [header.stage, 3n],
  ];
  const isBound = bounds.every(([value, highest]) => value >= 0n && value <= highest);
  if (header.version !== 1n || digests.some((digest) => digest.length !== 32) || !isBound) {
    throw bad("has a header that no host writes");
  }
  return header;
}

/** Read one bit for each page: those that are set, ascending. */
function readBits(pieces: Pieces, count: number): number[] {
  const bits = pieces.take(Math.ceil(count / 8));
  const isSet = (at: number) => (((bits[at >> 3] as number) >> (at & 7)) & 1) === 1;
  const all = Array.from({ length: bits.length * 8 }, (_, at) => at).filter(isSet);
  if (all.some((page) => page >= count)) throw bad("names pages behind its memory");
  return all;
}

/** Read which pages are left out, and the hash of each subtree that consists of such pages. */
function readLeftOut(pieces: Pieces, count: number, carried: number[]): Map<string, Bytes> {
  const left = readBits(pieces, count);
  const known = new Set(carried);
  if (left.length === 0 || left.some((page) => known.has(page))) {
    throw bad("leaves out no pages, or such as it carries");
  }
  const hashes = new Map<string, Bytes>();
  for (const [start, size] of blocks(left)) hashes.set(`${start} ${size}`, pieces.take(32));
  return hashes;
}

/** Give the largest whole subtrees that consist of these pages alone; page 0 is leaf 1. */
function* blocks(pages: readonly number[]): Generator<readonly [number, number]> {
  for (let place = 0; place < pages.length; ) {
    let start = (pages[place] as number) + 1;
    let end = start;
    while (place < pages.length && (pages[place] as number) + 1 === end) {
      end += 1;
      place += 1;
    }
    while (start < end) {
      const size = Math.min(start & -start, 2 ** (31 - Math.clz32(end - start)));
      yield [start, size];
      start += size;
    }
  }
}

function bad(what: string): DecodeError {
  return new DecodeError(`the execution state ${what}`);
}

class Pieces {
  private at = 0;

  constructor(private readonly data: Bytes) {}

  take(size: number): Bytes {
    if (size > this.data.length - this.at) throw bad("ends too early");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  get isDone(): boolean {
    return this.at === this.data.length;
  }
}
