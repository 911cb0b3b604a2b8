/** Refusals in words for the person in front of the screen. */

import { Refusal } from "./server.ts";

export function told(problem: unknown): string {
  if (problem instanceof Refusal && problem.code === "UNAUTHENTICATED") {
    return "That e-mail address and password do not open an account here.";
  }
  const message = problem instanceof Error ? problem.message : String(problem);
  return sentence(message);
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
