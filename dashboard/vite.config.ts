import { defineConfig } from "vite";

// The pages are written against React's interface; Preact implements it in a sixth of the size.
export const preactForReact = {
  alias: {
    "react/jsx-runtime": "preact/jsx-runtime",
    "react-dom/client": "preact/compat/client",
    "react-dom": "preact/compat",
    react: "preact/compat",
  },
};

/** Where the daemon looks for its pages. */
export const outDir = "../src/ambientd/dashboard";

export default defineConfig({
  base: "./",
  resolve: preactForReact,
  build: { target: "es2022", assetsInlineLimit: 0, outDir, emptyOutDir: true },
});
