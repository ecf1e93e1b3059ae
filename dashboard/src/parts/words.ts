/** Numbers, times and names as people read them. */

const COUNT = new Intl.NumberFormat("en");
const FIGURE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const SAT = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const SHORT_DIGITS = 12;

/** Write a count with its thousands apart. */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : COUNT.format(value);
}

/** Write a measured value; a dash where it is not known. */
export function figure(value: number | null): string {
  return value === null ? "–" : FIGURE.format(value);
}

/** Write an epsilon, known to a millionth, rounded up: no less was spent than is read. */
export function epsilon(value: number | null): string {
  if (value === null) return "–";
  return (Math.ceil(Math.round(value * 1e6) / 1000) / 1000).toFixed(3);
}

/** Write microseconds as milliseconds. */
export function latency(microseconds: number | null): string {
  return microseconds === null ? "–" : `${figure(microseconds / 1000)} ms`;
}

/** Write millisatoshi as satoshi. */
export function sat(msat: number): string {
  return `${SAT.format(msat / 1000)} sat`;
}

/** Write the first digits of an id. */
export function brief(id: string): string {
  return id.slice(0, SHORT_DIGITS);
}

/** Write a time on the local clock. */
export function clock(timeMs: number): string {
  return new Date(timeMs).toLocaleString();
}

/** Write how long something has lasted. */
export function lasting(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

interface Ended {
  readonly outcome: string;
  readonly items: number | null;
  readonly items_completed: number | null;
}

/** Write how a task ended; of a bundle that has outcomes, what came of its items. */
export function ending({ outcome, items, items_completed: done }: Ended): string {
  if (items === null || outcome !== "completed") return words(outcome) || "–";
  const of = items === 1 ? "1 item" : `${count(items)} items`;
  if (done === null) return `ended, ${of}`;
  if (done === items) return `completed, ${of}`;
  return done === 0
    ? `failed, none of ${of} completed`
    : `in part, ${count(done)} of ${of} completed`;
}

/** Write a name of the daemon's, `out_of_gas`, as words. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
