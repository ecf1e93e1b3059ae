/** Bytes as values: joined, compared, read and shown. */

import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";

export type Bytes = Uint8Array;

const UTF8 = new TextEncoder();
const CHUNK_BYTES = 0x8000;

/** Join byte strings. */
export function concat(...parts: readonly Bytes[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Tell whether two byte strings are the same. */
export function equal(left: Bytes, right: Bytes): boolean {
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

/** Order byte strings as numbers of their first different byte, then by length. */
export function compare(left: Bytes, right: Bytes): number {
  const at = left.findIndex((byte, place) => byte !== right[place]);
  if (at < 0 || at >= right.length) return left.length - right.length;
  return (left[at] as number) - (right[at] as number);
}

/** Write bytes in hex. */
export function hex(data: Bytes): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Read hex; null when it is none. */
export function fromHex(text: string): Bytes | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Write bytes in base64, padded. */
export function base64(data: Bytes): string {
  const letters: string[] = [];
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    letters.push(String.fromCharCode(...data.subarray(at, at + CHUNK_BYTES)));
  }
  return btoa(letters.join(""));
}

/** Give the bytes of a text. */
export function utf8(text: string): Bytes {
  return UTF8.encode(text);
}

/** Write a whole number of at most 53 bits as so many bytes, the highest first. */
export function bigEndian(value: number, width: number): Bytes {
  const bytes = new Uint8Array(width);
  for (let at = width - 1, rest = value; at >= 0; at -= 1) {
    bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

/** Hash plain bytes. */
export function sha256(...parts: readonly Bytes[]): Bytes {
  return nobleSha256(parts.length === 1 ? (parts[0] as Bytes) : concat(...parts));
}

/** Hash parts, each preceded by its length, under a domain tag (protocols/01 section 2). */
export function tagged(tag: string, ...parts: readonly Bytes[]): Bytes {
  const pieces = [bigEndian(tag.length, 1), utf8(tag)];
  for (const part of parts) pieces.push(bigEndian(part.length, 8), part);
  return sha256(...pieces);
}
