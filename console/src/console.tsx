/** Which of its faces the console shows: setting a password, signing in, or the workbench. */

import { lazy, Suspense, useCallback, useEffect, useState } from "react";

import { AcceptInvite } from "./accept-invite.tsx";
import { takeLink } from "./invite.ts";
import { viewer, type Viewer } from "./server.ts";
import { SignIn } from "./sign-in.tsx";

const Workbench = lazy(() => import("./workbench.tsx"));

export function Console({ firstLink }: { firstLink: string | null }) {
  const [link, setLink] = useState(firstLink);
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
  if (link !== null) return <AcceptInvite key={link} link={link} onSignedIn={signedIn} onLeave={() => setLink(null)} />;
  if (identity === undefined) return <Waiting />;
  if (identity === null) return <SignIn notice={problem} onSignedIn={signedIn} />;
  return (
    <Suspense fallback={<Waiting />}>
      <Workbench identity={identity} />
    </Suspense>
  );
}

function Waiting() {
  return <main className="entrance" aria-busy="true" aria-label="Loading" />;
}
