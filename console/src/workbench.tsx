/** GraphiQL, who is asking, and the token that may stand in for the session. */

import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./workbench.css";

import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

import { Header } from "./header.tsx";
import { JOBS_PLUGIN } from "./jobs-panel.tsx";
import { JOBS } from "./jobs.ts";
import { fetchAs, viewer, type Viewer } from "./server.ts";
import { layoutStorage } from "./storage.ts";
import type { Trial } from "./token-trial.tsx";

const [FIRST] = JOBS;
const PLUGINS = [JOBS_PLUGIN, HISTORY_PLUGIN];

export default function Workbench({ identity }: { identity: Viewer }) {
  const [trial, setTrial] = useState<Trial | null>(null);
  const [ended, setEnded] = useState(false);
  const storage = useMemo(layoutStorage, []);
  const theme = useColourScheme();
  const fetcher = useFetcher(trial?.secret ?? null, () => setEnded(true));
  useSameMember(identity, () => setEnded(true));

  return (
    <div className="workbench">
      <Header identity={identity} trial={trial} onTrial={setTrial} ended={ended} />
      <main>
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
      </main>
    </div>
  );
}

/** Asks with the session's cookie or with a token. A change of either ends the subscriptions of the other. */
function useFetcher(token: string | null, onEnded: () => void) {
  const sockets = useMemo(
    () =>
      createClient({
        url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
        connectionParams: token === null ? undefined : { authorization: `Bearer ${token}` },
        retryAttempts: 0,
      }),
    [token],
  );
  useEffect(() => () => void sockets.dispose(), [sockets]);
  return useMemo(
    () =>
      createGraphiQLFetcher({
        url: "/graphql",
        fetch: fetchAs(token, token === null ? onEnded : undefined),
        wsClient: sockets,
        enableIncrementalDelivery: false,
      }),
    // The callback only sets a state; a new one must not make GraphiQL fetch the schema again.
    [token, sockets],
  );
}

/** Another tab may have signed out, or in as somebody else: the header must not name the wrong person. */
function useSameMember(identity: Viewer, onEnded: () => void) {
  useEffect(() => {
    const look = async () => {
      if (document.visibilityState !== "visible") return;
      const now = await viewer().catch(() => identity);
      if (now === null) onEnded();
      else if (now.member?.id !== identity.member?.id) location.reload();
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [identity]);
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

function useColourScheme(): "light" | "dark" {
  const subscribe = (changed: () => void) => {
    DARK.addEventListener("change", changed);
    return () => DARK.removeEventListener("change", changed);
  };
  return useSyncExternalStore(subscribe, () => (DARK.matches ? "dark" : "light"));
}
