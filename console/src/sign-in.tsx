import { useState, type FormEvent } from "react";

import { Entrance, Field, Problem } from "./entrance.tsx";
import { accountsOf, told } from "./problems.ts";
import { Refusal, signIn } from "./server.ts";

interface Props {
  notice: string | undefined;
  onSignedIn: () => Promise<void>;
}

export function SignIn({ notice, onSignedIn }: Props) {
  const [problem, setProblem] = useState(notice && told(notice));
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
    <Entrance title="Sign in">
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
    </Entrance>
  );
}

/** Asked only when the same address and password open several accounts. */
export function AccountField({ accounts }: { accounts: string[] }) {
  if (accounts.length === 0) {
    return <Field label="Account key" name="account" required autoFocus hint="You belong to several. Which one?" />;
  }
  return (
    <div className="field">
      <label htmlFor="account">Account</label>
      <select id="account" name="account" autoFocus aria-describedby="account-hint">
        {accounts.map((key) => (
          <option key={key}>{key}</option>
        ))}
      </select>
      <p className="hint" id="account-hint">
        You belong to several. Which one?
      </p>
    </div>
  );
}
