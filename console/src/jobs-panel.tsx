import { useGraphiQL, useGraphiQLActions, type GraphiQLPlugin } from "@graphiql/react";

import { Kind, parse, type OperationDefinitionNode } from "graphql";

import { JOBS, type Job } from "./jobs.ts";

export const JOBS_PLUGIN: GraphiQLPlugin = {
  title: "Ready-made operations",
  icon: () => (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round">
      <path d="M4 6.5h2M4 12h2M4 17.5h2M9.5 6.5H20M9.5 12H20M9.5 17.5H20" />
    </svg>
  ),
  content: JobsPanel,
};

function JobsPanel() {
  const { addTab, setOperationFacts } = useGraphiQLActions();
  const { queryEditor, variableEditor, tabs, activeTabIndex } = useGraphiQL(
    ({ queryEditor, variableEditor, tabs, activeTabIndex }) => ({ queryEditor, variableEditor, tabs, activeTabIndex }),
  );
  const open = (job: Job) => {
    // What somebody wrote is never overwritten: only an empty or an untouched ready-made tab is taken again.
    const written = tabs[activeTabIndex]?.query?.trim() ?? "";
    if (written !== "" && !JOBS.some((other) => other.document.trim() === written)) addTab();
    queryEditor?.setValue(job.document);
    variableEditor?.setValue(job.variables ?? "");
    // GraphiQL reads the editor a moment later; whoever presses play at once must not run the name of the last one.
    setOperationFacts(factsOf(job));
    queryEditor?.focus();
    queryEditor?.getContainerDomNode().scrollIntoView({ block: "nearest" });
  };
  return (
    <section className="jobs" aria-labelledby="jobs-title">
      <h2 id="jobs-title" className="graphiql-doc-explorer-title">
        Ready-made operations
      </h2>
      <ul>
        {JOBS.map((job) => (
          <li key={job.title}>
            <button type="button" onClick={() => open(job)}>
              <strong>{job.title}</strong>
              <span>{job.purpose}</span>
            </button>
          </li>
        ))}
      </ul>
      <p className="hint">
        Run with the play button, or Ctrl+Enter. Nothing you type or receive here is kept once you leave the page.
      </p>
    </section>
  );
}

function factsOf(job: Job) {
  const documentAST = parse(job.document);
  const operations = documentAST.definitions.filter(
    (node): node is OperationDefinitionNode => node.kind === Kind.OPERATION_DEFINITION,
  );
  return { documentAST, operations, operationName: operations[0]?.name?.value };
}
