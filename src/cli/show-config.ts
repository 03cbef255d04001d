// `parley config`: the effective configuration, secrets masked; which variable sets what.
import { listSettings, maskConfig } from "../lib/config";
import { readConfig } from "./context";
import type { CommandContext, CommonOptions } from "./context";

/** Prints one setting a line with its variable; `--json`: an object in the form of the configuration file. */
export async function runConfig(context: CommandContext, options: CommonOptions): Promise<void> {
  const masked = maskConfig(await readConfig(context, options));
  if (options.json) {
    context.print(JSON.stringify(masked, null, 2));
    return;
  }
  const lines = listSettings().map(({ path, variable }) => {
    const value = path.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], masked);
    return [variable ?? "(file only)", `${path} = ${JSON.stringify(value)}`] as const;
  });
  const width = Math.max(...lines.map(([variable]) => variable.length));
  for (const [variable, text] of lines) context.print(`${variable.padEnd(width)}  ${text}`);
}
