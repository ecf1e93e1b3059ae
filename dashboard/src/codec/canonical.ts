/**
 * Canonical MessagePack: one value, one byte string (protocols/00-encoding.md).
 *
 * Every longer form of a number or a length is refused while it is read, so an item's bytes are
 * what encoding its value would give: hashes and signatures are taken over them as they stand.
 */

import { type Bytes, bigEndian, concat, utf8 } from "./bytes";

export type Value = null | boolean | bigint | string | Bytes | readonly Item[];

/** A value and the bytes it was read from. */
export interface Item {
  readonly value: Value;
  readonly raw: Bytes;
}

/** Bytes that are not what their place asks for. */
export class DecodeError extends Error {}

const DEPTH_MAX = 32;
const TEXT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

class Reader {
  private at = 0;
  private readonly view: DataView;

  constructor(private readonly data: Bytes) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get isAtEnd(): boolean {
    return this.at === this.data.length;
  }

  item(depth: number): Item {
    if (depth > DEPTH_MAX) throw new DecodeError("the lists are nested too deeply");
    const start = this.at;
    const value = this.value(depth);
    return { value, raw: this.data.subarray(start, this.at) };
  }

  private value(depth: number): Value {
    const first = Number(this.uint(1));
    if (first <= 0x7f) return BigInt(first);
    if (first >= 0xe0) return BigInt(first - 0x100);
    if (first >= 0x90 && first <= 0x9f) return this.list(first & 0x0f, depth);
    if (first >= 0xa0 && first <= 0xbf) return this.text(first & 0x1f);
    switch (first) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.take(this.length(1, 0));
      case 0xc5:
        return this.take(this.length(2, 0x100));
      case 0xc6:
        return this.take(this.length(4, 0x10000));
      case 0xcc:
        return this.positive(1, 0x80n);
      case 0xcd:
        return this.positive(2, 0x100n);
      case 0xce:
        return this.positive(4, 0x10000n);
      case 0xcf:
        return this.positive(8, 0x100000000n);
      case 0xd0:
        return this.negative(1, -0x20n);
      case 0xd1:
        return this.negative(2, -0x80n);
      case 0xd2:
        return this.negative(4, -0x8000n);
      case 0xd3:
        return this.negative(8, -0x80000000n);
      case 0xd9:
        return this.text(this.length(1, 0x20));
      case 0xda:
        return this.text(this.length(2, 0x100));
      case 0xdb:
        return this.text(this.length(4, 0x10000));
      case 0xdc:
        return this.list(this.length(2, 0x10), depth);
      case 0xdd:
        return this.list(this.length(4, 0x10000), depth);
      default:
        throw new DecodeError(`byte 0x${first.toString(16)} begins no value of the encoding`);
    }
  }

  private uint(width: 1 | 2 | 4 | 8): bigint {
    this.need(width);
    const at = this.at;
    this.at += width;
    switch (width) {
      case 1:
        return BigInt(this.view.getUint8(at));
      case 2:
        return BigInt(this.view.getUint16(at));
      case 4:
        return BigInt(this.view.getUint32(at));
      case 8:
        return this.view.getBigUint64(at);
    }
  }

  private positive(width: 1 | 2 | 4 | 8, least: bigint): bigint {
    const value = this.uint(width);
    if (value < least) throw new DecodeError("a number is not in its shortest form");
    return value;
  }

  private negative(width: 1 | 2 | 4 | 8, below: bigint): bigint {
    const value = BigInt.asIntN(8 * width, this.uint(width));
    if (value >= below) throw new DecodeError("a number is not in its shortest form");
    return value;
  }

  private length(width: 1 | 2 | 4, least: number): number {
    const value = Number(this.uint(width));
    if (value < least) throw new DecodeError("a length is not in its shortest form");
    return value;
  }

  private list(count: number, depth: number): readonly Item[] {
    this.need(count);
    return Array.from({ length: count }, () => this.item(depth + 1));
  }

  private text(size: number): string {
    try {
      return TEXT.decode(this.take(size));
    } catch {
      throw new DecodeError("a text is not UTF-8");
    }
  }

  private take(size: number): Bytes {
    this.need(size);
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  private need(size: number): void {
    const there = this.data.length - this.at;
    if (size > there) throw new DecodeError(`${size} bytes are announced, ${there} are there`);
  }
}

/** Read one value and nothing after it; throw DecodeError unless it is in canonical form. */
export function decode(data: Bytes, sizeMax: number): Item {
  if (data.length > sizeMax) {
    throw new DecodeError(`it has ${data.length} bytes, at most ${sizeMax} are allowed`);
  }
  const reader = new Reader(data);
  const item = reader.item(0);
  if (!reader.isAtEnd) throw new DecodeError("bytes follow the value");
  return item;
}

/** Encode a list of items that are encoded already. */
export function encodeList(...items: readonly Bytes[]): Bytes {
  const count = items.length;
  const head =
    count < 0x10 ? bigEndian(0x90 | count, 1) : concat(Uint8Array.of(0xdc), bigEndian(count, 2));
  return concat(head, ...items);
}

/** Encode a whole number that is not negative. */
export function encodeNumber(value: bigint): Bytes {
  if (value < 0x80n) return Uint8Array.of(Number(value));
  for (const [mark, width] of [
    [0xcc, 1],
    [0xcd, 2],
    [0xce, 4],
  ] as const) {
    if (value < 1n << BigInt(8 * width)) {
      return concat(Uint8Array.of(mark), bigEndian(Number(value), width));
    }
  }
  const bytes = new Uint8Array(9);
  bytes[0] = 0xcf;
  new DataView(bytes.buffer).setBigUint64(1, value);
  return bytes;
}

/** Encode a text of at most 31 bytes. */
export function encodeText(value: string): Bytes {
  const bytes = utf8(value);
  return concat(Uint8Array.of(0xa0 | bytes.length), bytes);
}

/** Encode a byte string of at most 65,535 bytes. */
export function encodeBytes(value: Bytes): Bytes {
  const head =
    value.length < 0x100
      ? concat(Uint8Array.of(0xc4), bigEndian(value.length, 1))
      : concat(Uint8Array.of(0xc5), bigEndian(value.length, 2));
  return concat(head, value);
}
