/** Asking as whoever the workbench asks as: with the session's cookie, or with the token that stands in for it. */

import { createClient, type Client } from "graphql-ws";
import { createContext, useContext, useEffect, useMemo, useState } from "react";

import { ask, fetchAs, firstOf, Refusal, type Answer } from "./server.ts";

export interface Asker {
  fetch: typeof fetch;
  /** Answers what there is; what was refused beside it is null. Throws where nothing is left. */
  ask: <T>(document: string, variables?: Record<string, unknown>) => Promise<T>;
  /** Hands on what a subscription says until it is called off or ends, on through lost connections. */
  follow: <T>(document: string, variables: Record<string, unknown>, follower: Follower<T>) => () => void;
}

export interface Follower<T> {
  next: (said: T) => void;
  ended: (problem: unknown) => void;
}

const Asking = createContext<Asker | null>(null);

export const AskerProvider = Asking.Provider;

export function useAsker(): Asker {
  const asker = useContext(Asking);
  if (asker === null) throw new Error("nobody asks here");
  return asker;
}

/** What the server answers about one thing, by its id. */
export function useAnswer<T>(document: string, id: string) {
  const asker = useAsker();
  const [answer, setAnswer] = useState<T | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  useEffect(() => {
    let asked = true;
    asker.ask<T>(document, { id }).then(
      (found) => asked && setAnswer(found),
      (error: unknown) => asked && setProblem(error),
    );
    return () => void (asked = false);
  }, [asker, document, id]);
  return { answer, problem };
}

export function useAskerOf(token: string | null, onEnded: () => void): Asker {
  const sockets = useSockets(token, 5);
  return useMemo(() => {
    const by = fetchAs(token, token === null ? onEnded : undefined);
    return { fetch: by, ask: (document, variables = {}) => asked(document, variables, by), follow: followed(sockets) };
    // The callback only sets a state; a new one must not make anything ask again.
  }, [token, sockets]);
}

/** A socket that opens with the first subscription. A change of the token ends the subscriptions of the other. */
export function useSockets(token: string | null, retryAttempts: number): Client {
  const sockets = useMemo(
    () =>
      createClient({
        url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`,
        connectionParams: token === null ? undefined : { authorization: `Bearer ${token}` },
        retryAttempts,
      }),
    [token, retryAttempts],
  );
  useEffect(() => () => void sockets.dispose(), [sockets]);
  return sockets;
}

async function asked<T>(document: string, variables: Record<string, unknown>, by: typeof fetch): Promise<T> {
  const { data, errors } = await ask(document, variables, by);
  const nothing = !data || Object.values(data).every((value) => value === null);
  if (nothing) throw firstOf(errors) ?? new Refusal("the server gave no answer");
  return data as T;
}

function followed(sockets: Client): Asker["follow"] {
  return <T>(query: string, variables: Record<string, unknown>, { next, ended }: Follower<T>) =>
    sockets.subscribe(
      { query, variables },
      {
        next: ({ data, errors }) => (data ? next(data as T) : ended(firstOf(errors as Answer["errors"]))),
        error: ended,
        complete: () => ended(null),
      },
    );
}
