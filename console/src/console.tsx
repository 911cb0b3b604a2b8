/** Which of its faces the console shows: setting a password, signing in, or the workbench. */

import { lazy, Suspense, useCallback, useEffect, useState } from "react";

import { AcceptInvite } from "./accept-invite.tsx";
import { takeLink } from "./invite.ts";
import type { Outcome } from "./outcome.ts";
import { viewer, waysIn, type Viewer, type Ways } from "./server.ts";
import { SignIn } from "./sign-in.tsx";

const Workbench = lazy(() => import("./workbench.tsx"));

export function Console({ firstLink, outcome }: { firstLink: string | null; outcome: Outcome | null }) {
  const [link, setLink] = useState(firstLink);
  const [ways, setWays] = useState<Ways>();
  const [identity, setIdentity] = useState<Viewer | null>();
  const [problem, setProblem] = useState<string>();

  const refresh = useCallback(async () => {
    try {
      setIdentity(await viewer());
      setProblem(undefined);
    } catch (error) {
      setIdentity(null);
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }, []);

  useEffect(() => void refresh(), [refresh]);
  const isOutside = link !== null || identity === null;
  useEffect(() => {
    if (!isOutside) return;
    // Without an answer there is the way that most servers have, which then says what is wrong.
    waysIn().then(setWays, () => setWays({ password: true, provider: null }));
  }, [isOutside]);
  useEffect(() => {
    const changed = () => {
      const taken = takeLink();
      if (taken !== null) setLink(taken);
    };
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);

  const signedIn = async () => {
    setLink(null);
    await refresh();
  };
  if (identity === undefined) return <Waiting />;
  if (identity !== null && link === null) {
    return (
      <Suspense fallback={<Waiting />}>
        <Workbench identity={identity} />
      </Suspense>
    );
  }
  if (ways === undefined) return <Waiting />;
  if (link !== null && ways.password) {
    return <AcceptInvite key={link} link={link} onSignedIn={signedIn} onLeave={() => setLink(null)} />;
  }
  const lead = link === null ? undefined : "You are invited. Members sign in here without a password.";
  return <SignIn ways={ways} lead={lead} notice={problem} outcome={outcome} onSignedIn={signedIn} />;
}

function Waiting() {
  return <main className="entrance" aria-busy="true" aria-label="Loading" />;
}
