import { expect, test } from "vitest";
import { checkBlameFile, inputHash } from "../src/blame/check";
import { readState } from "../src/blame/state";
import { hex } from "../src/codec/bytes";
import { unhex, vectors } from "./vectors";

interface Case {
  name: string;
  file: string;
  valid: boolean;
  checks: string[];
  failed: string[];
}

const { cluster, files } = vectors<{ cluster: string; files: Case[] }>("blame");

test.each(files)("$name: the findings are those of the vectors", (each) => {
  const report = checkBlameFile(unhex(each.file), unhex(cluster));
  const failed = report.checks.filter((check) => !check.ok).map((check) => check.name);
  expect(report.checks.map((check) => check.name)).toEqual(each.checks);
  expect(failed).toEqual(each.failed);
  expect(report.isValid).toBe(each.valid);
});

test.each(files.filter((each) => each.valid && each.file.length < 10_000))(
  "$name: it convicts nobody once any of its bytes was changed",
  (each) => {
    const file = unhex(each.file);
    for (let at = 0; at < file.length; at += 31) {
      const changed = Uint8Array.from(file);
      changed[at] = (changed[at] as number) ^ 0x01;
      expect(checkBlameFile(changed, unhex(cluster)).isValid, `byte ${at}`).toBe(false);
    }
  },
);

test("a certificate of another cluster is named as such", () => {
  const report = checkBlameFile(unhex((files[0] as Case).file), new Uint8Array(32));
  expect(report.checks.find((check) => check.name === "cluster")?.ok).toBe(false);
});

interface States {
  partial: { state: string; root: string };
}

test("a state with pages left out has the root of the whole one", () => {
  const { state, root } = vectors<States>("states").partial;
  expect(hex(readState(unhex(state)).root)).toBe(root);
  expect(readState(unhex(state)).pagesLeftOut).toBeGreaterThan(0);
  expect(() => readState(unhex(`${state}00`))).toThrow("longer");
});

interface Lesson {
  lesson: { whole: string; input: string; joined: string };
}

test("the input of a training is known by the hashes of its parts", () => {
  const { whole, input } = vectors<Lesson>("learning").lesson;
  expect(hex(inputHash("fl-training", unhex(whole)))).toBe(input);
  expect(hex(inputHash("general", unhex(whole)))).not.toBe(input);
  expect(hex(inputHash("fl-training", unhex(`${whole}00`)))).not.toBe(input);
});
