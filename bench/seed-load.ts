// Fills a server's store through the protocol, as quickly as it takes sends.
import { frameTypes } from "../src/protocol/frames";
import { nowUs, SendTemplate } from "./messages";
import { Person } from "./person";
import type { Seeded, SeedPlan } from "./plan";

const batchMax = 256;
const writers = 4;

/** Stores what the plan says and reports {@link Seeded}. Rejects when a message is not stored. */
export async function runSeed(plan: SeedPlan, report: (seeded: Seeded) => void): Promise<void> {
  const reader = await Person.connect(plan.target, plan.reader);
  reader.leave();
  const people: Person[] = [];
  for (let w = 0; w < writers; w++) people.push(await Person.connect(plan.target, `writer${w}`));
  const conversations: string[] = [];
  for (let c = 0; c < plan.conversations; c++) {
    const creator = people[c % writers]!;
    const others = Array.from({ length: writers }, (_, w) => `writer${w}`).filter((_, w) => w !== c % writers);
    const [conversation] = await creator.ask("create", [
      "group",
      `seed${c}`,
      { name: `Seed ${c}` },
      [plan.reader, ...others],
    ]);
    conversations.push(conversation);
  }
  const longLog = conversations[0]!;
  const inLongLog = Math.floor(plan.messages / 2);
  const inOthers = Math.floor(plan.messages / 2 / (plan.conversations - 1));
  await Promise.all(
    people.map(async (person, w) => {
      await fill(person, longLog, `l${w}`, Math.floor(inLongLog / writers));
      for (let c = 1 + w; c < conversations.length; c += writers)
        await fill(person, conversations[c]!, `c${c}`, inOthers);
    }),
  );
  const page = await people[0]!.ask("entries", [longLog, 1, 1]);
  report({ conversation: longLog, headSeq: page[1] });
}

async function fill(person: Person, conversation: string, tag: string, messages: number): Promise<void> {
  const template = new SendTemplate(conversation, tag.padStart(8, "0"), batchMax);
  for (let stored = 0; stored < messages; stored += batchMax) {
    const items = Math.min(batchMax, messages - stored);
    const { promise, resolve } = Promise.withResolvers<readonly unknown[]>();
    person.sendEncoded((id) => template.fill(id, items, nowUs), resolve);
    const frame = await promise;
    const outcomes = frame[0] === frameTypes.reply ? (frame[2] as readonly unknown[]) : [];
    if (outcomes.filter((outcome) => typeof outcome === "number").length < items)
      throw new Error(JSON.stringify(frame));
  }
}
