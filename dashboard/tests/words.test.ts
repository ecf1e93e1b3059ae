import { expect, test } from "vitest";
import { ending, epsilon } from "../src/parts/words";

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

test("an epsilon is never written smaller than it is", () => {
  expect(epsilon(4.383)).toBe("4.383");
  expect(epsilon(4.3830001)).toBe("4.383"); // a millionth is what is known
  expect(epsilon(4.383001)).toBe("4.384");
  expect(epsilon(0.000001)).toBe("0.001");
  expect(epsilon(0)).toBe("0.000");
  expect(epsilon(null)).toBe("–");
});
