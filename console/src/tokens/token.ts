/** Tokens as the panel lists them, and one of them in full. */

import type { Side, Statement } from "../policies.tsx";

export interface Token {
  id: string;
  kind: "PERSONAL" | "SERVICE" | "ACCOUNT";
  name: string;
  ending: string;
  state: keyof typeof STATES;
  createdAt: string;
  lastUsedAt: string | null;
  endsAt: string | null;
  leakedAt: string | null;
  creator: { id: string; name: string } | null;
  exceedsOwner: { index: number }[];
}

export interface Whole {
  description: string;
  resource: string;
  networks: string[];
  rateLimits: string[];
  lastUsedAddress: string | null;
  lastUsedAgent: string | null;
  owner: { name: string } | null;
  responsible: { name: string } | null;
  parent: { name: string; ending: string } | null;
  scope: {
    kind: "BUILT_IN" | "CUSTOM_ROLES" | "INLINE";
    builtInRole: string | null;
    customRoles: { key: string }[] | null;
  };
  effectiveScope: { side: Side; name: string | null; statements: Statement[] | null }[];
  deeds: { nodes: { id: string; at: string; title: string }[] } | null;
  exceedsOwner: { role: string | null; index: number; limitedBy: Side; statement: Statement | null }[];
}

/** How tokens of one member are sorted: the latest first, but by what ends first, and by name. */
export const ORDERS = { made: "Made", used: "Last used", ends: "Ends", name: "Name" } as const;

export function sorted(tokens: Token[], order: keyof typeof ORDERS): Token[] {
  const keys: Record<keyof typeof ORDERS, (token: Token) => string> = {
    made: ({ createdAt }) => createdAt,
    used: ({ lastUsedAt }) => lastUsedAt ?? "",
    ends: ({ endsAt }) => endsAt ?? LAST,
    name: ({ name }) => name.toLowerCase(),
  };
  const [key, sign] = [keys[order], order === "made" || order === "used" ? -1 : 1];
  return [...tokens].sort((one, other) => sign * key(one).localeCompare(key(other)));
}

export const KINDS = { "": "Any", PERSONAL: "Personal", SERVICE: "Service", ACCOUNT: "Account-wide" } as const;
export const STATES = {
  ACTIVE: "Working",
  EXPIRED: "Expired",
  REVOKED: "Revoked",
  OWNER_INACTIVE: "Owner inactive",
} as const;

const LAST = "9999";
const DAY_MS = 86_400_000;
/** The same as the server's advice has it. */
const NEW_MS = 30 * DAY_MS;
const LONG_UNUSED_MS = 90 * DAY_MS;
const SOON_MS = 14 * DAY_MS;

export interface Flag {
  name: string;
  isBad: boolean;
  why: string;
}

/** What stands out about a token, the worst first. */
export function flagsOf(token: Token, now: number): Flag[] {
  const flags: Flag[] = [];
  const flag = (name: string, isBad: boolean, why: string) => flags.push({ name, isBad, why });
  const [used, ends] = [token.lastUsedAt, token.endsAt].map((at) => (at === null ? null : Date.parse(at)));
  if (token.leakedAt !== null) flag("Leaked", true, "Somebody who held its secret reported that it leaked");
  if (token.kind === "ACCOUNT") flag("Account-wide", true, "Nobody’s, and bound by nobody’s rights");
  if (token.state !== "ACTIVE") {
    flag(STATES[token.state], false, "It does not work");
    return flags;
  }
  if (token.exceedsOwner.length > 0)
    flag("Exceeds owner", true, "A part of its scope is beyond what its owner may do: dead there");
  if (used === null && now - Date.parse(token.createdAt) > NEW_MS)
    flag("Unused", false, "Never used since it was made");
  if (used != null && now - used > LONG_UNUSED_MS) flag("Unused", false, "Not used for 90 days");
  if (ends != null && ends - now < SOON_MS) flag("Ends soon", false, "It ends within two weeks");
  return flags;
}
