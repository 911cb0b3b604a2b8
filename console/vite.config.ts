import { defineConfig } from "vite";

const server = "http://127.0.0.1:8000";

export default defineConfig({
  build: {
    // The Content-Security-Policy lets scripts and styles come from files only.
    assetsInlineLimit: 0,
    // Monaco alone is larger than Vite likes; it is loaded after signing in.
    chunkSizeWarningLimit: 5000,
    target: "es2022",
    rolldownOptions: {
      // Directives for servers that render React, in packages that are bundled for the browser here.
      onLog: (level, log, report) => log.code !== "MODULE_LEVEL_DIRECTIVE" && report(level, log),
    },
  },
  server: {
    proxy: {
      "/graphql": { target: server, ws: true },
      "/session": server,
      "/sign-in": server,
    },
  },
});
