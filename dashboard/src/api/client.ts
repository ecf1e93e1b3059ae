/** Ask the daemon that serves this page: one function for every row of its table of operations. */

import type { Bytes } from "../codec/bytes";
import { type Operations, ROUTES } from "./table";

export type Name = keyof Operations & keyof typeof ROUTES;
export type Request<N extends Name> = Operations[N]["request"];
export type Answer<N extends Name> = Operations[N]["answer"];

const BASE = "/api/v1";
const TOKEN_KEY = "ambient-token";
const REACH_TIMEOUT_MS = 20_000;

/** What a daemon refuses, in its own words (RFC 9457); status 0 when it was not reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Give the token that this tab uses; empty for none. */
export function token(): string {
  return sessionStorage.getItem(TOKEN_KEY) ?? "";
}

/** Use another token from now on, in this tab only. */
export function setToken(text: string): void {
  sessionStorage.setItem(TOKEN_KEY, text.trim());
  for (const told of listeners) told();
}

const listeners = new Set<() => void>();

/** Be told when another token is used; gives what ends that. */
export function onToken(told: () => void): () => void {
  listeners.add(told);
  return () => void listeners.delete(told);
}

/** Ask for an operation and give its answer. */
export async function call<N extends Name>(
  name: N,
  request: Request<N>,
  signal?: AbortSignal,
): Promise<Answer<N>> {
  const response = await send(name, request, "application/json", signal);
  return (await response.json()) as Answer<N>;
}

/** Ask for an operation's bytes alone: an output or a receipt file. */
export async function bytes<N extends Name>(name: N, request: Request<N>): Promise<Bytes> {
  const response = await send(name, request, "application/octet-stream");
  return new Uint8Array(await response.arrayBuffer());
}

/** Give headers that this page's token is in. */
export function headers(accept: string): Record<string, string> {
  const known = token();
  return { Accept: accept, ...(known && { Authorization: `Bearer ${known}` }) };
}

async function send<N extends Name>(
  name: N,
  request: Request<N>,
  accept: string,
  signal?: AbortSignal,
): Promise<Response> {
  const { method } = ROUTES[name];
  const fields = new Map(Object.entries(request));
  const url = urlOf(name, fields, method === "GET");
  const body = method === "GET" ? null : JSON.stringify(Object.fromEntries(fields));
  const timeout = AbortSignal.timeout(REACH_TIMEOUT_MS);
  const asked = `${url} ${body}`;
  // A nonce names what is asked for already.
  const key = method === "POST" && !("nonce" in request) ? keyFor(asked) : "";
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: {
        ...headers(accept),
        ...(method !== "GET" && { "Content-Type": "application/json" }),
        ...(key && { "Idempotency-Key": key }),
      },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      body,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "the daemon was not reached", "is it running? This page tries again.");
  }
  if (response.status < 500 && response.status !== 409) unanswered.delete(asked);
  if (response.ok) return response;
  throw await problemOf(response);
}

/** Keys of requests whose answers never came: who asks again for the same thing gets it once. */
const unanswered = new Map<string, string>();

function keyFor(asked: string): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  const key = unanswered.get(asked) ?? Array.from(random, (each) => each.toString(16)).join("");
  unanswered.set(asked, key);
  return key;
}

/** Give the address of an operation: fields go into its path first, then into the query. */
export function urlOf(name: Name, fields: Map<string, unknown>, withQuery: boolean): string {
  const path = ROUTES[name].path.replace(/\{(\w+)\}/g, (_, field: string) => {
    const value = String(fields.get(field));
    fields.delete(field);
    return encodeURIComponent(value);
  });
  if (!withQuery) return BASE + path;
  const query = new URLSearchParams();
  for (const [field, value] of fields) if (value !== undefined) query.set(field, String(value));
  return BASE + path + (query.size > 0 ? `?${query}` : "");
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const said: { title?: string; detail?: string; hint?: string } = JSON.parse(text);
    const message = said.detail ?? said.title ?? response.statusText;
    return new Problem(response.status, message, said.hint ?? "");
  } catch {
    return new Problem(response.status, response.statusText || "the daemon refused", "");
  }
}
