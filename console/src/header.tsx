import { KeyMark } from "./entrance.tsx";
import { Faces, type Face } from "./faces.tsx";
import { signOut, type Member, type Viewer } from "./server.ts";
import { TokenTrial, type Trial } from "./token-trial.tsx";

interface Props {
  identity: Viewer;
  trial: Trial | null;
  onTrial: (trial: Trial | null) => void;
  ended: boolean;
  face: Face;
}

export function Header({ identity, trial, onTrial, ended, face }: Props) {
  const { member, account } = identity;
  return (
    <header>
      <div className="bar">
        <p className="wordmark">
          <KeyMark />
          <span>Latchkey</span>
        </p>
        <Faces face={face} />
        <p className="who">
          <strong>{member?.name || member?.email}</strong>
          <span className="account" title={account.key}>
            {account.name || account.key}
          </span>
          {member && <span className="role">{roleOf(member)}</span>}
        </p>
        <div className="deeds">
          {trial === null && <TokenTrial onTrial={onTrial} />}
          <button type="button" className="plain" onClick={leave}>
            Sign out
          </button>
        </div>
      </div>
      <div role="status">
        {trial && (
          <div className="strip">
            <p>
              Asking with the token <strong>{trial.name}</strong> <code>{trial.ending}</code>
              <span className="aside"> instead of your session. It is kept until you leave this page, nowhere else.</span>
            </p>
            <button type="button" className="plain" autoFocus onClick={() => onTrial(null)}>
              Back to my session
            </button>
          </div>
        )}
        {ended && trial === null && (
          <div className="strip">
            <p>Your session has ended.</p>
            <button type="button" className="plain" onClick={() => location.reload()}>
              Sign in again
            </button>
          </div>
        )}
      </div>
    </header>
  );
}

/** A fresh page remembers nothing: no answers, no token, no schema. */
async function leave() {
  await signOut().catch(() => undefined);
  location.replace("/");
}

/** Custom roles, where a member has any, stand in for the base role. */
function roleOf(member: Member): string {
  if (member.customRoles?.length) return member.customRoles.map((role) => role.name).join(", ");
  return member.baseRole.toLowerCase().replaceAll("_", " ");
}
