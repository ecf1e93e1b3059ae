import { expect, test } from "vitest";
import { ending } from "../src/parts/words";

test("a bundle whose items failed is not called completed", () => {
  const of = (items: number | null, done: number | null, outcome = "completed") =>
    ending({ outcome, items, items_completed: done });
  expect(of(null, null)).toBe("completed");
  expect(of(256, 256)).toBe("completed, 256 items");
  expect(of(256, 200)).toBe("in part, 200 of 256 items completed");
  expect(of(1, 0)).toBe("failed, none of 1 item completed");
  expect(of(3, null)).toBe("ended, 3 items");
  expect(of(3, null, "out_of_gas")).toBe("out of gas");
  expect(of(3, null, "none")).toBe("none");
});
