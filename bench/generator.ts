// The load generator's process: one plan as its argument, one JSON line per outcome.
import { runLargeMake, runLargeUse } from "./large-room-load";
import { runLargeLooked } from "./large-room-looked";
import type { Plan } from "./plan";
import { runTurns } from "./rooms-load";
import { runSeed } from "./seed-load";
import { runStorm } from "./storm-load";
import { runPeople, runReads, runSessions } from "./sessions-load";

function report(value: unknown): void {
  console.log(JSON.stringify(value));
}

async function run(plan: Plan): Promise<void> {
  switch (plan.kind) {
    case "rooms":
      return runTurns([plan], report);
    case "turns":
      return runTurns(plan.plans, report);
    case "sessions":
      return runSessions(plan, report);
    case "reads":
      return runReads(plan, report);
    case "people":
      return runPeople(plan, report);
    case "seed":
      return runSeed(plan, report);
    case "largeMake":
      return runLargeMake(plan, report);
    case "storm":
      return runStorm(plan, report);
    case "largeUse":
      return runLargeUse(plan, report);
    case "largeLooked":
      return runLargeLooked(plan, report);
  }
}

if (import.meta.main) {
  await run(JSON.parse(process.argv[2]!) as Plan);
  process.exit(0);
}
