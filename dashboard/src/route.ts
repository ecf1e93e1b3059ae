/** Which page the address names: everything behind `#/`. */

import { useSyncExternalStore } from "react";

/** Give the parts of the address: `#/tasks/ab12` is `["tasks", "ab12"]`. */
export function useRoute(): readonly string[] {
  const hash = useSyncExternalStore(
    (changed) => {
      addEventListener("hashchange", changed);
      return () => removeEventListener("hashchange", changed);
    },
    () => location.hash,
  );
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
}

/** Read a part of an address; one that nobody encoded stands for itself. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Give the address of a page. */
export function to(...parts: readonly string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}
