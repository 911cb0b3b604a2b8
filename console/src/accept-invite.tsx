import { useState, type FormEvent } from "react";

import { Entrance, Field, Problem } from "./entrance.tsx";
import { accountsOf, told } from "./problems.ts";
import { acceptInvite, Refusal, signIn } from "./server.ts";
import { AccountField } from "./sign-in.tsx";

interface Props {
  link: string;
  onSignedIn: () => Promise<void>;
  onLeave: () => void;
}

export function AcceptInvite({ link, onSignedIn, onLeave }: Props) {
  const [email, setEmail] = useState<string | null>(null);
  const [accounts, setAccounts] = useState<string[] | null>(null);
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const password = String(form.get("password"));
    if (password !== form.get("again")) {
      setProblem("The two passwords are not the same.");
      return;
    }
    setBusy(true);
    setProblem(undefined);
    let address = email;
    try {
      if (address === null) {
        // The link works once; asking for the account afterwards must not use it again.
        address = await acceptInvite(link, String(form.get("name") ?? "").trim() || null, password);
        setEmail(address);
      }
      await signIn(address, password, form.get("account") as string | null);
      await onSignedIn();
    } catch (error) {
      if (error instanceof Refusal && error.code === "CONFLICT") {
        setAccounts(accountsOf(error));
      } else if (error instanceof Refusal && ["UNAUTHENTICATED", "NOT_FOUND"].includes(error.code) && !address) {
        setProblem("This link has been used, has ended, or never was one. Ask for a new one.");
      } else {
        setProblem(told(error));
      }
      setBusy(false);
    }
  };

  return (
    <Entrance title="Choose a password">
      <p className="lead">Your link works once. From now on you sign in with your e-mail address and this password.</p>
      <form onSubmit={submit} aria-busy={busy}>
        <input type="text" autoComplete="username" value={email ?? ""} readOnly hidden />
        <Field
          label="Your name"
          name="name"
          autoComplete="name"
          maxLength={256}
          readOnly={email !== null}
          autoFocus
          hint="Leave it empty to keep the one we have."
        />
        <Field
          label="Password"
          name="password"
          type="password"
          autoComplete="new-password"
          minLength={12}
          maxLength={256}
          readOnly={email !== null}
          required
          hint="At least 12 characters. A sentence is good."
        />
        <Field
          label="Password again"
          name="again"
          type="password"
          autoComplete="new-password"
          readOnly={email !== null}
          required
        />
        {accounts && <AccountField accounts={accounts} />}
        <Problem>{problem}</Problem>
        <button className="primary" disabled={busy}>
          {busy ? "One moment" : "Set password and sign in"}
        </button>
        <button type="button" className="quiet" onClick={onLeave}>
          Sign in instead
        </button>
      </form>
    </Entrance>
  );
}
