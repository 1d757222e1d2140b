import { defineConfig } from "vitest/config";

// Tests import the built package from dist/, so they test what ships; `npm test` builds first.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts", "test/**/*.test.tsx"],
    // Engines and servers are real and the machine may be small: files one after another, generous time.
    fileParallelism: false,
    testTimeout: 360_000,
    hookTimeout: 360_000,
  },
});
