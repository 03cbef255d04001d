// What a chaos run is asked to do: the command line of `npm run chaos`, checked.
import { parseArgs } from "node:util";
import type { ClusterPlan } from "./cluster";
import type { Fault } from "./faults";
import { allFaults } from "./schedule";

/** A whole run. */
export interface ChaosPlan extends ClusterPlan {
  /** At least so long; and at least until every fault has been played once. */
  readonly minutes: number;
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly historyFile: string | null;
  readonly supervised: boolean;
  /** Messages a second, about; null: as the store allows. */
  readonly rate: number | null;
  /** At least so many faults, and acknowledged messages. */
  readonly faultsMin: number;
  readonly ackedMin: number;
  /** Faults in one chapter, after which everything is healed and judged. */
  readonly perChapter: number;
  /** Whether two faults may be played at once. */
  readonly together: boolean;
  /** How long it may take in the end until everybody has everything, milliseconds; absent: a minute. */
  readonly settleMs?: number;
  readonly say: (line: string) => void;
}

const faultsPerChapter = 10;

/** How the command is called. */
export const usage = `usage: npm run chaos -- [--minutes M] [--seed S] [--store sqlite|mongo] [--faults NAME,NAME…] [--history FILE]
         [--nodes N] [--nats 1|3] [--unsupervised] [--rate MESSAGES_A_SECOND] [--min-faults N] [--min-acked N]
faults (a part of a name will do):
${allFaults.map(({ name }) => `  ${name.replaceAll(",", "")}`).join("\n")}`;

/** Null: it cannot be understood, see {@link usage}. */
export function readPlan(argv: readonly string[], say: (line: string) => void): ChaosPlan | null {
  const values = parse(argv);
  if (values === null) return null;
  const { store, nats } = values;
  const faults = values.faults === undefined ? allFaults : chosen(values.faults.split(","));
  const [minutes, seed, nodes] = [values.minutes, values.seed, values.nodes].map(Number);
  const rate = values.rate === undefined ? null : Number(values.rate);
  const numbers = [minutes, seed, nodes, rate ?? 1, Number(values["min-faults"]), Number(values["min-acked"])];
  if (numbers.some((each) => each === undefined || !Number.isFinite(each) || each < 0)) return null;
  if (faults === null || (store !== "sqlite" && store !== "mongo") || (nats !== "1" && nats !== "3")) return null;
  return {
    minutes: minutes!,
    seed: seed!,
    nodes: Math.max(1, nodes!),
    store,
    nats: nats === "3" ? 3 : 1,
    faults,
    historyFile: values.history ?? null,
    supervised: !values.unsupervised,
    rate,
    faultsMin: Number(values["min-faults"]),
    ackedMin: Number(values["min-acked"]),
    perChapter: faultsPerChapter,
    together: true,
    say,
  };
}

function parse(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        minutes: { type: "string", default: "5" },
        seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
        store: { type: "string", default: "sqlite" },
        faults: { type: "string" },
        history: { type: "string" },
        nodes: { type: "string", default: "3" },
        nats: { type: "string", default: "3" },
        rate: { type: "string" },
        "min-faults": { type: "string", default: "0" },
        "min-acked": { type: "string", default: "0" },
        unsupervised: { type: "boolean", default: false },
      },
    });
    return values;
  } catch {
    return null;
  }
}

/** Every fault whose name holds one of these words; null where one fits nothing. */
function chosen(words: readonly string[]): readonly Fault[] | null {
  const plain = ({ name }: Fault): string => name.replaceAll(",", "");
  if (words.some((word) => !allFaults.some((fault) => plain(fault).includes(word)))) return null;
  // A whole name is meant as such: "kill" is not every kind of kill.
  return allFaults.filter((fault) =>
    words.some(
      (word) => plain(fault) === word || (!allFaults.some((one) => plain(one) === word) && plain(fault).includes(word)),
    ),
  );
}
