import { afterEach, expect, test, vi } from "vitest";
import { call } from "../src/api/client";

afterEach(() => vi.unstubAllGlobals());

/** Let a network answer in turn, or lose what is asked; give what it saw as keys. */
function network(...answers: readonly (number | "lost")[]): (string | null)[] {
  const keys: (string | null)[] = [];
  const waiting = [...answers];
  vi.stubGlobal("sessionStorage", { getItem: () => null });
  vi.stubGlobal("fetch", async (_: string, init: RequestInit) => {
    keys.push(new Headers(init.headers).get("idempotency-key"));
    const next = waiting.shift();
    if (next === "lost" || next === undefined) throw new TypeError("connection lost");
    return new Response("{}", { status: next });
  });
  return keys;
}

async function invite(expires_in_ms: number): Promise<void> {
  await call("cluster.invite", { expires_in_ms }).catch(() => undefined);
}

test("what was not answered is asked again under its key, and what was under a new one", async () => {
  const keys = network("lost", 503, 201, 201, 422, 201);
  for (let turn = 0; turn < 6; turn++) await invite(5);
  expect(keys[0]).toMatch(/^[!-~]{16,64}$/);
  expect(keys.slice(1, 3)).toEqual([keys[0], keys[0]]);
  expect(new Set(keys).size).toBe(4);
});

test("other requests have other keys, and what is only looked at has none", async () => {
  const keys = network("lost", "lost", "lost", "lost", 200);
  await invite(5);
  await invite(6);
  await call("task.cancel", { task: "aa" }).catch(() => undefined);
  await call("task.cancel", { task: "bb" }).catch(() => undefined);
  await call("status", {});
  expect(new Set(keys).size).toBe(5);
  expect(keys[4]).toBeNull();
});

test("a nonce is the key of a task", async () => {
  const keys = network("lost");
  await call("task.submit", { nonce: "AAAA" }).catch(() => undefined);
  expect(keys).toEqual([null]);
});
