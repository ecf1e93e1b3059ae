/** The page's colours, for what is drawn on a canvas. */

import { useSyncExternalStore } from "react";

const DARK = matchMedia("(prefers-color-scheme: dark)");

/** Give "dark" or "light", and draw anew when the person changes it. */
export function useScheme(): string {
  return useSyncExternalStore(
    (changed) => {
      DARK.addEventListener("change", changed);
      return () => DARK.removeEventListener("change", changed);
    },
    () => (DARK.matches ? "dark" : "light"),
  );
}

/** Give what a variable of the style sheet means here; a canvas knows no `light-dark()`. */
export function colourOf(place: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
