import { useId, useState, type FormEvent } from "react";

import { Entrance, Field, Problem } from "./entrance.tsx";
import type { Outcome } from "./outcome.ts";
import { accountsOf, told, whyNot } from "./problems.ts";
import { beginAtProvider, Refusal, signIn, type Ways } from "./server.ts";

interface Props {
  ways: Ways;
  lead?: string | undefined;
  notice: string | undefined;
  outcome: Outcome | null;
  onSignedIn: () => Promise<void>;
}

export function SignIn({ ways, lead, notice, outcome, onSignedIn }: Props) {
  const [problem, setProblem] = useState(notice ? told(notice) : outcome ? whyNot(outcome.why, ways) : undefined);

  return (
    <Entrance title="Sign in">
      {lead && <p className="lead">{lead}</p>}
      {ways.password && <ByPassword problem={problem} setProblem={setProblem} onSignedIn={onSignedIn} />}
      {ways.password && ways.provider !== null && <p className="or">or</p>}
      {ways.provider !== null && (
        <ByProvider
          name={ways.provider}
          only={!ways.password}
          accounts={outcome?.why === "several" ? outcome.accounts : []}
          problem={ways.password ? undefined : problem}
          setProblem={setProblem}
        />
      )}
    </Entrance>
  );
}

interface Told {
  problem: string | undefined;
  setProblem: (problem: string | undefined) => void;
}

function ByPassword({ problem, setProblem, onSignedIn }: Told & Pick<Props, "onSignedIn">) {
  const [accounts, setAccounts] = useState<string[] | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(String(form.get("email")), String(form.get("password")), form.get("account") as string | null);
      await onSignedIn();
    } catch (error) {
      if (error instanceof Refusal && error.code === "CONFLICT") {
        setAccounts(accountsOf(error));
      } else {
        setProblem(told(error));
      }
      setBusy(false);
    }
  };

  return (
    <form onSubmit={submit} aria-busy={busy}>
      <Field
        label="E-mail address"
        name="email"
        type="email"
        autoComplete="username"
        required
        autoFocus
        onChange={() => setAccounts(null)}
      />
      <Field label="Password" name="password" type="password" autoComplete="current-password" required />
      {accounts && <AccountField accounts={accounts} />}
      <Problem>{problem}</Problem>
      <button className="primary" disabled={busy}>
        {busy ? "Signing in" : "Sign in"}
      </button>
    </form>
  );
}

interface ByProviderProps extends Told {
  name: string;
  only: boolean;
  accounts: string[];
}

/** Leads away from here: the browser comes back signed in, or with an outcome. */
function ByProvider({ name, only, accounts, problem, setProblem }: ByProviderProps) {
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const account = new FormData(event.currentTarget).get("account") as string | null;
    setBusy(true);
    setProblem(undefined);
    try {
      location.assign(await beginAtProvider(account));
    } catch (error) {
      setProblem(told(error));
      setBusy(false);
    }
  };

  return (
    <form onSubmit={submit} aria-busy={busy}>
      {accounts.length > 0 && <AccountField accounts={accounts} />}
      <Problem>{problem}</Problem>
      <button className={only ? "primary" : "plain"} disabled={busy}>
        {busy ? "One moment" : `Sign in with ${name}`}
      </button>
    </form>
  );
}

/** Asked only when the same person may come into several accounts. */
export function AccountField({ accounts }: { accounts: string[] }) {
  const id = useId();
  if (accounts.length === 0) {
    return <Field label="Account key" name="account" required autoFocus hint="You belong to several. Which one?" />;
  }
  return (
    <div className="field">
      <label htmlFor={id}>Account</label>
      <select id={id} name="account" autoFocus aria-describedby={`${id}-hint`}>
        {accounts.map((key) => (
          <option key={key}>{key}</option>
        ))}
      </select>
      <p className="hint" id={`${id}-hint`}>
        You belong to several. Which one?
      </p>
    </div>
  );
}
