/** The calm card that signing in and setting a password share, and the pieces of their forms. */

import { useId, type InputHTMLAttributes, type ReactNode } from "react";

export function KeyMark() {
  return (
    <svg className="key-mark" viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="7" cy="12" r="4" />
      <path d="M11 12h10M17 12v3.6M21 12v2.4" />
    </svg>
  );
}

export function Entrance({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="entrance">
      <section className="card" aria-labelledby="entrance-title">
        <p className="wordmark">
          <KeyMark />
          Latchkey
        </p>
        <h1 id="entrance-title">{title}</h1>
        {children}
      </section>
      <p className="whereabouts">{location.host}</p>
    </main>
  );
}

interface FieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  hint?: string;
}

export function Field({ label, hint, ...input }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} aria-describedby={hint ? `${id}-hint` : undefined} {...input} />
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

export function Problem({ children }: { children: ReactNode }) {
  return (
    <div role="alert" className={children ? "problem" : undefined}>
      {children}
    </div>
  );
}
