/** The protocols' own test vectors. */

import { readFileSync } from "node:fs";
import { type Bytes, fromHex } from "../src/codec/bytes";

/** Read one document's vectors. */
export function vectors<T>(name: string): T {
  const path = new URL(`../../protocols/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

/** Read bytes of a vector. */
export function unhex(text: string): Bytes {
  const bytes = fromHex(text);
  if (bytes === null) throw new Error(`${text} is no hex`);
  return bytes;
}
