/** Refusals in words for the person in front of the screen. */

import { Refusal, type Ways } from "./server.ts";

export function told(problem: unknown): string {
  if (problem instanceof Refusal && problem.code === "UNAUTHENTICATED") {
    return "That e-mail address and password do not open an account here.";
  }
  const message = problem instanceof Error ? problem.message : String(problem);
  return sentence(message);
}

/** Why the provider's word did not let somebody in, by the word in the address; nothing where there is only a question. */
export function whyNot(why: string, { provider }: Ways): string | undefined {
  const name = provider ?? "The provider";
  switch (why) {
    case "several":
      return undefined;
    case "refused":
      return `${name} knows you, but you are no member here. Ask an administrator to invite you.`;
    case "unverified":
      return `${name} does not vouch for your e-mail address, so it cannot be said who you are here.`;
    case "somebody-else":
      return `The member with your e-mail address is somebody else at ${name}. Ask an administrator.`;
    case "cancelled":
      return `${name} did not sign you in.`;
    case "unreachable":
      return `${name} does not answer. Try again in a moment.`;
    case "too-often":
      return "That failed too often. Try again in a few minutes.";
    case "stale":
      return "That took too long, or was begun in another window. Try again.";
    case "failed":
      return "Something went wrong on this server. Try again in a moment.";
    default:
      return `What ${name} answered does not hold. Try again, or ask an administrator to look into the server's log.`;
  }
}

export function accountsOf(refusal: Refusal): string[] {
  const { accounts } = refusal.extensions;
  return Array.isArray(accounts) ? accounts.map(String) : [];
}

/** The server's messages are lower case without a full stop and quote in backticks. */
function sentence(message: string): string {
  const text = message.replace(/`([^`]*)`/g, "\u201c$1\u201d").trim();
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
