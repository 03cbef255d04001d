// Writes the table of settings into docs/OPERATIONS.md, from the schema itself: `npm run docs`. A test holds the two equal.
import { commandVariables, listSettings } from "../src/lib/config";

/** The document, seen from the top of the checkout. */
export const operationsPage = "docs/OPERATIONS.md";

const begin = "<!-- settings: written by npm run docs -->";
const end = "<!-- end of settings -->";

/** The table in Markdown: every setting, then the variables that only commands read. */
export function settingsTable(): string {
  const rows = listSettings().map(({ path, variable, initial, allowed, says }) =>
    row(`\`${path}\``, variable === null ? "file only" : `\`${variable}\``, shown(initial), allowed, says),
  );
  const others = Object.entries(commandVariables).map(([variable, says]) => `- \`${variable}\`: ${says}`);
  const head = ["| In the file | In the environment | Default | Allowed | What it is |", "|---|---|---|---|---|"];
  return [...head, ...rows, "", "Read by commands, not settings:", "", ...others].join("\n");
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function shown(initial: unknown): string {
  return initial === null ? "unset" : `\`${JSON.stringify(initial)}\``;
}

/** The page with the table as it should be. Throws where the page has lost the place for it. */
export function withTable(page: string): string {
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${operationsPage} lacks "${begin}" or "${end}"`);
  return `${before}${begin}\n${settingsTable()}\n${end}${after}`;
}

if (import.meta.main) await Bun.write(operationsPage, withTable(await Bun.file(operationsPage).text()));
