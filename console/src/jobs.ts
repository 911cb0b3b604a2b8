/** The jobs people come here for, as operations that are ready to run. */

import auditLog from "./jobs/audit-log.graphql?raw";
import changeRole from "./jobs/change-role.graphql?raw";
import changeRoleVariables from "./jobs/change-role.json?raw";
import createToken from "./jobs/create-token.graphql?raw";
import createTokenVariables from "./jobs/create-token.json?raw";
import myTokens from "./jobs/my-tokens.graphql?raw";
import watchAuditLog from "./jobs/watch-audit-log.graphql?raw";
import whoAmI from "./jobs/who-am-i.graphql?raw";
import whoAmIVariables from "./jobs/who-am-i.json?raw";

export interface Job {
  title: string;
  purpose: string;
  document: string;
  variables: string | null;
}

export const JOBS: readonly [Job, ...Job[]] = [
  {
    title: "Who am I, and what may I do?",
    purpose: "Your member, account and roles, and one question about access.",
    document: whoAmI,
    variables: whoAmIVariables,
  },
  {
    title: "Create a scoped token",
    purpose: "A token that may do one thing only. Its secret is shown once.",
    document: createToken,
    variables: createTokenVariables.replace("IN_THIRTY_DAYS", inDays(30)),
  },
  {
    title: "My tokens",
    purpose: "What they may do, when they end, and when they were last used.",
    document: myTokens,
    variables: null,
  },
  {
    title: "The audit log",
    purpose: "Who did what, with which token, newest first.",
    document: auditLog,
    variables: null,
  },
  {
    title: "Change a member's role",
    purpose: "Find the member first, then give them another base role.",
    document: changeRole,
    variables: changeRoleVariables,
  },
  {
    title: "Watch the audit log",
    purpose: "Every new entry, as it is recorded.",
    document: watchAuditLog,
    variables: null,
  },
];

function inDays(days: number): string {
  const at = new Date(Date.now() + days * 86_400_000);
  return `${at.toISOString().slice(0, 10)}T12:00:00Z`;
}
