/** GraphiQL, asking as the workbench asks. */

import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./explorer.css";

import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { useMemo, useSyncExternalStore } from "react";

import { useAsker, useSockets } from "./asking.ts";
import { JOBS_PLUGIN } from "./jobs-panel.tsx";
import { JOBS } from "./jobs.ts";
import { layoutStorage } from "./storage.ts";

const [FIRST] = JOBS;
const PLUGINS = [JOBS_PLUGIN, HISTORY_PLUGIN];

export default function Explorer({ token }: { token: string | null }) {
  const storage = useMemo(layoutStorage, []);
  const theme = useColourScheme();
  const fetcher = useFetcher(token);
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      plugins={PLUGINS}
      visiblePlugin={JOBS_PLUGIN}
      forcedTheme={theme}
      defaultTheme={theme}
      initialQuery={FIRST.document}
      initialVariables={FIRST.variables ?? undefined}
      defaultEditorToolsVisibility={true}
      isHeadersEditorEnabled={false}
      shouldPersistHeaders={false}
      inputValueDeprecation
      schemaDescription
    >
      <GraphiQL.Logo>
        <span />
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

function useFetcher(token: string | null) {
  const asker = useAsker();
  // What the editor runs is run once: a connection that is lost ends it.
  const sockets = useSockets(token, 0);
  return useMemo(
    () =>
      createGraphiQLFetcher({
        url: "/graphql",
        fetch: asker.fetch,
        wsClient: sockets,
        enableIncrementalDelivery: false,
      }),
    [asker, sockets],
  );
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

function useColourScheme(): "light" | "dark" {
  const subscribe = (changed: () => void) => {
    DARK.addEventListener("change", changed);
    return () => DARK.removeEventListener("change", changed);
  };
  return useSyncExternalStore(subscribe, () => (DARK.matches ? "dark" : "light"));
}
