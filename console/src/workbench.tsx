/** Who is asking, the token that may stand in for the session, and what is in front: GraphiQL or one of the panels. */

import "./workbench.css";
import "./panels.css";

import { lazy, Suspense, useEffect, useState } from "react";

import { AskerProvider, useAskerOf } from "./asking.ts";
import { AuditPanel } from "./audit/audit-panel.tsx";
import { NO_FILTER, type Filter } from "./audit/filter.ts";
import { turnTo, useFace, type Face } from "./faces.tsx";
import { Header } from "./header.tsx";
import { viewer, type Viewer } from "./server.ts";
import type { Trial } from "./token-trial.tsx";
import { TokensPanel } from "./tokens/tokens-panel.tsx";

// Monaco is large, and whoever looks at the log does not need it.
const Explorer = lazy(() => import("./explorer.tsx"));

export default function Workbench({ identity }: { identity: Viewer }) {
  const [trial, setTrial] = useState<Trial | null>(null);
  const [ended, setEnded] = useState(false);
  const [filter, setFilter] = useState<Filter>(NO_FILTER);
  const face = useFace();
  const visited = useVisited(face);
  const token = trial?.secret ?? null;
  const who = trial?.ending ?? "session";
  const asker = useAskerOf(token, () => setEnded(true));
  useSameMember(identity, () => setEnded(true));
  const showEntriesOf = (id: string, text: string) => {
    setFilter({ ...NO_FILTER, span: "ever", token: { text, id } });
    turnTo("audit");
  };

  return (
    <AskerProvider value={asker}>
      <div className="workbench">
        <Header identity={identity} trial={trial} onTrial={setTrial} ended={ended} face={face} />
        <main>
          {visited.has("explorer") && (
            <div className="face" hidden={face !== "explorer"}>
              <Suspense fallback={<div aria-busy="true" />}>
                <Explorer token={token} />
              </Suspense>
            </div>
          )}
          {face === "audit" && <AuditPanel key={who} filter={filter} onFilter={setFilter} />}
          {face === "tokens" && <TokensPanel key={who} onEntries={showEntriesOf} />}
        </main>
      </div>
    </AskerProvider>
  );
}

/** What has been in front: GraphiQL keeps what was typed while something else is. */
function useVisited(face: Face): ReadonlySet<Face> {
  const [visited, setVisited] = useState<ReadonlySet<Face>>(new Set([face]));
  if (!visited.has(face)) setVisited(new Set([...visited, face]));
  return visited;
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
