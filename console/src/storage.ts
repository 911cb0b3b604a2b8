/**
 * What GraphiQL may keep in the browser: where its panes stand, nothing else. What is typed or answered can hold a
 * secret or a password, so documents, variables, headers and history live and end with the page.
 */

/** The first of two panes, in parts of the second: less for the panel and more for the editor than GraphiQL gives. */
const AT_FIRST: Record<string, string> = { "graphiql:docExplorerFlex": "0.28", "graphiql:editorFlex": "1.25" };
const KEPT = /^graphiql:(docExplorerFlex|editorFlex|secondaryEditorFlex|visiblePlugin)$/;

export function layoutStorage(): Storage {
  const memory = new Map<string, string>();
  return {
    get length() {
      return memory.size;
    },
    key: (index) => [...memory.keys()][index] ?? null,
    getItem: (key) => (KEPT.test(key) ? (localStorage.getItem(key) ?? AT_FIRST[key] ?? null) : (memory.get(key) ?? null)),
    setItem: (key, value) => {
      if (KEPT.test(key)) localStorage.setItem(key, value);
      else memory.set(key, value);
    },
    removeItem: (key) => {
      if (KEPT.test(key)) localStorage.removeItem(key);
      else memory.delete(key);
    },
    clear: () => {
      memory.clear();
      for (const key of Object.keys(localStorage)) if (KEPT.test(key)) localStorage.removeItem(key);
    },
  };
}
