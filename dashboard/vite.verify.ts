/** The receipt check alone, as one file, `verify.html`, that works from a disk. */

import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";
import { outDir, preactForReact } from "./vite.config";

export default defineConfig({
  plugins: [viteSingleFile()],
  resolve: preactForReact,
  build: { target: "es2022", outDir, emptyOutDir: false, rollupOptions: { input: "verify.html" } },
});
