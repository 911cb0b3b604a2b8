/** All that the console says to the server, but for what GraphiQL runs. */

export interface Member {
  id: string;
  name: string | null;
  email: string | null;
  baseRole: string;
}

export interface Viewer {
  member: Member | null;
  account: { key: string; name: string };
  token: { id: string; name: string; kind: string; ending: string } | null;
}

export class Refusal extends Error {
  readonly code: string;
  readonly extensions: Record<string, unknown>;

  constructor(message: string, extensions: Record<string, unknown> = {}) {
    super(message);
    this.code = String(extensions.code ?? "INTERNAL");
    this.extensions = extensions;
  }
}

interface Answer {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions?: Record<string, unknown> }[];
}

const VIEWER = /* GraphQL */ `
  query ConsoleViewer {
    viewer {
      member { id name email baseRole }
      account { key name }
      token { id name kind ending }
    }
  }
`;

const ACCEPT_INVITE = /* GraphQL */ `
  mutation ConsoleAcceptInvite($input: AcceptInviteInput!) {
    acceptInvite(input: $input) {
      member { id name email }
    }
  }
`;

/** A fetch that carries either the session's cookie or a token, never both. */
export function fetchAs(token: string | null, onRefused: () => void = () => undefined): typeof fetch {
  return async (input, init) => {
    const headers = new Headers(init?.headers);
    if (token !== null) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(input, {
      ...init,
      headers,
      cache: "no-store",
      credentials: token === null ? "same-origin" : "omit",
    });
    if (response.status === 401) onRefused();
    return response;
  };
}

/** Who the session, or the given token, speaks for; null if there is none or it does not work. */
export async function viewer(token: string | null = null): Promise<Viewer | null> {
  try {
    const data = await ask<{ viewer: Viewer | null }>(VIEWER, {}, fetchAs(token));
    return data.viewer;
  } catch (error) {
    if (error instanceof Refusal && error.code === "UNAUTHENTICATED") return null;
    throw error;
  }
}

export async function signIn(email: string, password: string, account: string | null): Promise<void> {
  await send("/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password, ...(account === null ? {} : { account }) }),
  });
}

export async function signOut(): Promise<void> {
  await send("/session", { method: "DELETE" });
}

/** Set a password with a one-time link. Returns the e-mail address to sign in with, if the server tells it. */
export async function acceptInvite(link: string, name: string | null, password: string): Promise<string | null> {
  const input = { link, password, ...(name === null ? {} : { name }) };
  // Without the cookie: whoever holds the link acts, not whoever is signed in here.
  const omit: typeof fetch = (url, init) => fetch(url, { ...init, credentials: "omit" });
  const data = await ask<{ acceptInvite: { member: Member } | null }>(ACCEPT_INVITE, { input }, omit);
  return data.acceptInvite?.member.email ?? null;
}

async function ask<Data>(query: string, variables: Record<string, unknown>, by: typeof fetch): Promise<Data> {
  const init = {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ query, variables }),
  };
  const { data } = await send("/graphql", init, by);
  return data as Data;
}

async function send(url: string, init: RequestInit, by: typeof fetch = fetch): Promise<Answer> {
  let response: Response;
  try {
    response = await by(url, init);
  } catch {
    throw new Refusal("the server does not answer");
  }
  const answer = (await response.json().catch(() => ({}))) as Answer;
  const error = answer.errors?.[0];
  if (error) throw new Refusal(error.message, error.extensions);
  if (!response.ok) throw new Refusal(`the server answered ${response.status}`);
  return answer;
}
