/** How signing in through the provider ended, as the address tells it that the server leads back to. */

const OUTCOME = /^#\/sign-in\/([a-z-]+)((?:\/[a-z0-9._-]+)*)$/;

export interface Outcome {
  why: string;
  /** The keys of the accounts of which one is to be chosen. */
  accounts: string[];
}

export function takeOutcome(): Outcome | null {
  const found = OUTCOME.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return { why: found[1] ?? "", accounts: (found[2] ?? "").split("/").filter(Boolean) };
}
