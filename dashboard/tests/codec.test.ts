import { expect, test } from "vitest";
import { concat, equal, hex, tagged, utf8 } from "../src/codec/bytes";
import { decode, encodeNumber, type Item } from "../src/codec/canonical";
import { leafHash, rootFromInclusion } from "../src/codec/merkle";
import { verify, verifyBytes } from "../src/codec/signing";
import { unhex, vectors } from "./vectors";

interface Encoding {
  values: { name: string; value: unknown; bytes: string }[];
  refused: { name: string; struct: string; bytes: string }[];
}

/** Write an item as the vectors do: bytes as an object with hex, numbers as numbers. */
function plain({ value }: Item): unknown {
  if (value instanceof Uint8Array) return { hex: hex(value) };
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" ? Number(value) : value;
}

test("every value of the encoding's vectors is read as what it stands for", () => {
  for (const { name, value, bytes } of vectors<Encoding>("encoding").values) {
    expect(plain(decode(unhex(bytes), 1 << 24)), name).toEqual(value);
  }
});

test.each([
  ["a number that fits in fewer bytes", "cc05"],
  ["a negative number that fits in fewer bytes", "d0ff"],
  ["a negative number written as a positive one's form", "d30000000000000001"],
  ["a length that fits in fewer bytes", "d90161"],
  ["a list that ends early", "9301"],
  ["a list that announces more than there is", "ddffffffff"],
  ["a text that is not UTF-8", "a1ff"],
  ["a float", "cb0000000000000000"],
  ["a map", "80"],
  ["an extension", "d40100"],
  ["bytes after the value", "0000"],
  ["nothing", ""],
  ["lists without end", "91".repeat(64)],
])("%s is refused", (_, bytes) => {
  expect(() => decode(unhex(bytes), 1024)).toThrow();
});

test("a number is written as it is read", () => {
  for (const value of [0n, 127n, 128n, 255n, 256n, 65535n, 65536n, 4294967296n, 1n << 62n]) {
    expect(decode(encodeNumber(value), 16).value).toBe(value);
  }
});

interface Signed {
  name?: string;
  key: string;
  domain: string;
  cluster: string;
  payload: string;
  signature: string;
}
interface Signatures {
  tagged_hashes: { tag: string; parts: string[]; hash: string }[];
  signed: Signed[];
  refused: Signed[];
  batch: { signed: Signed[]; refused: Signed[] };
  note: { text: string; key: string; signature: string };
}

const signatures = vectors<Signatures>("signatures");

function holds({ key, domain, cluster, payload, signature }: Signed): boolean {
  return verify(unhex(key), domain, unhex(cluster), unhex(payload), unhex(signature));
}

test("tagged hashes are those of the vectors", () => {
  for (const { tag, parts, hash } of signatures.tagged_hashes) {
    expect(hex(tagged(tag, ...parts.map(unhex)))).toBe(hash);
  }
});

test("signatures of the vectors hold, alone and in batches", () => {
  const { note } = signatures;
  expect(signatures.signed.concat(signatures.batch.signed).every(holds)).toBe(true);
  expect(verifyBytes(unhex(note.key), utf8(note.text), unhex(note.signature))).toBe(true);
});

test("what the vectors refuse is refused, malleable and small-order forms with it", () => {
  const wrong = [...signatures.refused, ...signatures.batch.refused];
  expect(wrong.length).toBeGreaterThan(5);
  expect(wrong.filter(holds).map((each) => each.name)).toEqual([]);
});

interface Merkle {
  leaves: string[];
  heads: string[];
  inclusion: { leaf: number; size: number; path: string[] }[];
}

test("inclusion proofs of the vectors lead to their heads, and to no other", () => {
  const { leaves, heads, inclusion } = vectors<Merkle>("merkle");
  for (const { leaf, size, path } of inclusion) {
    const data = leafHash(unhex(leaves[leaf] as string));
    const steps = path.map(unhex);
    const root = rootFromInclusion(data, BigInt(leaf), BigInt(size), steps);
    expect(root === null ? null : hex(root)).toBe(heads[size]);
    expect(rootFromInclusion(data, BigInt(size), BigInt(size), steps)).toBeNull();
    expect(rootFromInclusion(data, BigInt(leaf), BigInt(size), [...steps, data])).toBeNull();
  }
});

test("joined bytes are the parts one after the other", () => {
  expect(equal(concat(utf8("a"), utf8("bc")), utf8("abc"))).toBe(true);
});
