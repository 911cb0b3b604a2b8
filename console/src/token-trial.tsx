/** Trying a token in place of the session. Its secret lives in this page's memory alone. */

import { useRef, useState, type FormEvent } from "react";

import { Field, Problem } from "./entrance.tsx";
import { told } from "./problems.ts";
import { viewer } from "./server.ts";

export interface Trial {
  secret: string;
  name: string;
  ending: string;
}

export function TokenTrial({ onTrial }: { onTrial: (trial: Trial) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState<string>();
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const secret = String(new FormData(form).get("token")).trim();
    setBusy(true);
    setProblem(undefined);
    try {
      const found = await viewer(secret);
      if (found === null) {
        setProblem("This token does not work: it has ended, or never was one.");
        return;
      }
      form.reset();
      dialog.current?.close();
      onTrial({ secret, name: found.token?.name ?? "without a name", ending: `…${found.token?.ending ?? secret.slice(-4)}` });
    } catch (error) {
      setProblem(told(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <>
      <button type="button" className="plain" aria-haspopup="dialog" onClick={() => dialog.current?.showModal()}>
        Try a token
      </button>
      <dialog ref={dialog} aria-labelledby="trial-title" onClose={() => setProblem(undefined)}>
        <form onSubmit={submit} autoComplete="off" aria-busy={busy}>
          <h2 id="trial-title">Try a token in place of your session</h2>
          <p className="lead">What you run next is asked with the token alone, until you go back or leave this page.</p>
          {/* `one-time-code` keeps password managers from offering to save it. */}
          <Field
            label="Token"
            name="token"
            type="password"
            autoComplete="one-time-code"
            spellCheck={false}
            required
            hint="It is kept in this page's memory and never stored."
          />
          <Problem>{problem}</Problem>
          <div className="choice">
            <button type="button" className="quiet" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button className="primary" disabled={busy}>
              Use this token
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}
