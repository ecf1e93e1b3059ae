/** The rest of a list. */

import { count } from "./words";

/** What a daemon gives at once. */
const LIMIT_MAX = 1000;
export const PAGE = 50;

interface MoreProps {
  readonly shown: number;
  /** Null where the daemon does not count them; then `next` tells whether there are more. */
  readonly total: number | null;
  readonly next: string | null;
  readonly onMore: (limit: number) => void;
}

/** Lengthens a list; beyond what a daemon gives at once it says who shows the rest. */
export function More({ shown, total, next, onMore }: MoreProps) {
  if (next === null) return null;
  const of = total === null ? count(shown) : `${count(shown)} of ${count(total)}`;
  if (shown >= LIMIT_MAX) {
    return <p className="faint">These are {of}; `ambientctl` lists them all.</p>;
  }
  return (
    <button type="button" onClick={() => onMore(Math.min(LIMIT_MAX, 2 * shown))}>
      More ({of})
    </button>
  );
}
