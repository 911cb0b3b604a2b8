/** All that the console says to the server, but for what GraphiQL runs. */

import acceptInviteDocument from "./asked/accept-invite.graphql?raw";
import viewerDocument from "./asked/viewer.graphql?raw";

export interface Member {
  id: string;
  name: string;
  email: string | null;
  baseRole: string;
  customRoles: { name: string }[] | null;
}

export interface Viewer {
  member: Member | null;
  account: { key: string; name: string };
  token: { name: string; ending: string } | null;
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

export interface Answer {
  data?: Record<string, unknown> | null;
  errors?: { message: string; extensions?: Record<string, unknown> }[];
}

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
  const { data, errors } = await ask(viewerDocument, {}, fetchAs(token));
  const found = data?.viewer as Viewer | null | undefined;
  // Somebody who may not see all of it is somebody all the same.
  if (found) return found;
  const refusal = firstOf(errors);
  if (refusal && refusal.code !== "UNAUTHENTICATED") throw refusal;
  return null;
}

/** How members sign in here; `provider` is what people call the OpenID provider, if there is one. */
export interface Ways {
  password: boolean;
  provider: string | null;
}

export async function waysIn(): Promise<Ways> {
  const { errors, ...ways } = await send<Ways>("/sign-in", {});
  const refusal = firstOf(errors);
  if (refusal) throw refusal;
  return ways;
}

/** Begin to sign in through the provider; returns the address where that goes on. */
export async function beginAtProvider(account: string | null): Promise<string> {
  const { errors, url } = await send<{ url: string }>("/sign-in/oidc", { method: "POST", ...json({ account }) });
  const refusal = firstOf(errors);
  if (refusal) throw refusal;
  return url;
}

export async function signIn(email: string, password: string, account: string | null): Promise<void> {
  const body = { email, password, ...(account === null ? {} : { account }) };
  const { errors } = await send("/session", { method: "POST", ...json(body) });
  const refusal = firstOf(errors);
  if (refusal) throw refusal;
}

export async function signOut(): Promise<void> {
  await send("/session", { method: "DELETE" });
}

/** Set a password with a one-time link. Returns the e-mail address to sign in with. */
export async function acceptInvite(secret: string, name: string | null, password: string): Promise<string> {
  const input = { secret, password, ...(name === null ? {} : { name }) };
  // Without the cookie: whoever holds the link acts, not whoever is signed in here.
  const byLink: typeof fetch = (url, init) => fetch(url, { ...init, credentials: "omit" });
  const { data, errors } = await ask(acceptInviteDocument, { input }, byLink);
  const accepted = data?.acceptInvite as { email: string } | null | undefined;
  if (!accepted) throw firstOf(errors) ?? new Refusal("the server gave no answer");
  return accepted.email;
}

export async function ask(query: string, variables: Record<string, unknown>, by: typeof fetch): Promise<Answer> {
  return await send("/graphql", { method: "POST", ...json({ query, variables }) }, by);
}

function json(body: Record<string, unknown>): RequestInit {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  return { headers, body: JSON.stringify(body) };
}

/** Send a request and read its answer. What is no success has errors. */
async function send<T = object>(url: string, init: RequestInit, by: typeof fetch = fetch): Promise<Answer & T> {
  let response: Response;
  try {
    response = await by(url, init);
  } catch {
    throw new Refusal("the server does not answer");
  }
  const answer = (await response.json().catch(() => ({}))) as Answer & T;
  if (response.ok || answer.errors?.length) return answer;
  return { ...answer, errors: [{ message: `the server answered ${response.status}` }] };
}

export function firstOf(errors: Answer["errors"]): Refusal | null {
  const error = errors?.[0];
  return error ? new Refusal(error.message, error.extensions) : null;
}
