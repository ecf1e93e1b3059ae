/** Structs as lists of fields in order: what each place of a document asks for, and how it is read. */

import type { Bytes } from "./bytes";
import { DecodeError, type Item, type Value } from "./canonical";

/** Reads one value for a place, or throws DecodeError. */
export type Field<T> = (item: Item, place: string) => T;

/** What a field gives. */
export type Read<F> = F extends Field<infer T> ? T : never;

/** The bytes that a struct was read from, as a whole and field by field. */
export interface Encoded {
  readonly raw: Bytes;
  readonly parts: readonly Bytes[];
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type Struct<F extends Fields> = { readonly [K in keyof F]: Read<F[K]> } & Encoded;

function refused(place: string, wanted: string): DecodeError {
  return new DecodeError(`${place} is no ${wanted}`);
}

/** A whole number. */
export const int: Field<bigint> = ({ value }, place) => {
  if (typeof value !== "bigint") throw refused(place, "whole number");
  return value;
};

/** A text. */
export const text: Field<string> = ({ value }, place) => {
  if (typeof value !== "string") throw refused(place, "text");
  return value;
};

/** Bytes of any length. */
export const bytes: Field<Bytes> = ({ value }, place) => {
  if (!(value instanceof Uint8Array)) throw refused(place, "byte string");
  return value;
};

/** A truth value. */
export const bool: Field<boolean> = ({ value }, place) => {
  if (typeof value !== "boolean") throw refused(place, "truth value");
  return value;
};

/** A whole number that counts: 0 to 2^53 - 1. */
export const count: Field<bigint> = (item, place) => {
  const value = int(item, place);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw refused(place, "count");
  return value;
};

/** Bytes of a length within bounds. */
export function sized(least: number, most: number = least): Field<Bytes> {
  return (item, place) => {
    const value = bytes(item, place);
    if (value.length < least || value.length > most) throw refused(place, `${most} bytes`);
    return value;
  };
}

/** One of the values that are known. */
export function oneOf<T extends Value>(known: readonly T[]): Field<T> {
  return ({ value }, place) => {
    const found = known.find((each) => each === value);
    if (found === undefined) throw refused(place, "known value");
    return found;
  };
}

/** A field that may be nil. */
export function optional<T>(field: Field<T>): Field<T | null> {
  return (item, place) => (item.value === null ? null : field(item, place));
}

/** A list of values of one kind. */
export function list<T>(field: Field<T>, least = 0, most = Number.MAX_SAFE_INTEGER): Field<T[]> {
  return ({ value }, place) => {
    if (!isList(value)) throw refused(place, "list");
    if (value.length < least || value.length > most) throw refused(place, `list of ${most}`);
    return value.map((item, at) => field(item, `${place}[${at}]`));
  };
}

/** A list of two values. */
export function pair<A, B>(first: Field<A>, second: Field<B>): Field<readonly [A, B]> {
  return ({ value }, place) => {
    if (!isList(value) || value.length !== 2) throw refused(place, "pair");
    const [one, two] = value as [Item, Item];
    return [first(one, `${place}[0]`), second(two, `${place}[1]`)];
  };
}

/** A struct: exactly these fields in this order, after its tag when it has one. */
export function struct<F extends Fields>(fields: F, tag?: bigint): Field<Struct<F>> {
  const names = Object.keys(fields) as (keyof F & string)[];
  return ({ value, raw }, place) => {
    if (!isList(value)) throw refused(place, "struct");
    const items = tag === undefined ? value : value.slice(1);
    if (tag !== undefined && value[0]?.value !== tag) throw refused(place, `struct of tag ${tag}`);
    if (items.length !== names.length) {
      throw new DecodeError(`${place} has ${items.length} fields instead of ${names.length}`);
    }
    const read: Record<string, unknown> = { raw, parts: items.map((item) => item.raw) };
    names.forEach((name, at) => {
      read[name] = (fields[name] as Field<unknown>)(items[at] as Item, `${place}.${name}`);
    });
    return read as Struct<F>;
  };
}

function isList(value: Value): value is readonly Item[] {
  return Array.isArray(value);
}
