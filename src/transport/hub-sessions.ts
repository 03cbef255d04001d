// The hub as the cluster's gateway sees it: the sessions of this node, and the ways to send some of them to look afresh.
// Made by the composition of a node in a cluster.
import type { SessionsHere } from "../actors/interest";
import type { SessionHandle } from "../actors/session-world";
import type { Clock } from "../lib/clock";
import { capabilities } from "../protocol/capabilities";
import type { ConversationId, UserId } from "../protocol/ids";
import type { FeedTuple } from "../protocol/operations";
import type { Hub } from "./hub";
import { counterTopic } from "./hub-counters";

/** Subscriptions looked at for those who receive one of several conversations; where there were more, everybody is meant. */
const looksMax = 1_000_000;

/** Over what time sessions sync again where something may have been missed: the longer, the more there are. Milliseconds. */
const syncAgain = { leastMs: 500, mostMs: 60_000, eachMs: 5 } as const;

/** See the head of this file. */
export class HubSessions implements SessionsHere {
  readonly #hub: Hub;
  readonly #clock: Pick<Clock, "after">;

  constructor(hub: Hub, clock: Pick<Clock, "after">) {
    this.#hub = hub;
    this.#clock = clock;
  }

  publish(conversation: ConversationId, frame: Uint8Array): void {
    this.#hub.publish(conversation, frame);
  }

  toUser(user: UserId, frame: Uint8Array): void {
    this.#hub.toUser(user, frame);
  }

  dropInterest(conversation: ConversationId, users: readonly UserId[]): void {
    this.#hub.dropInterest(conversation, users);
  }

  feedChanged(user: UserId, changes: readonly FeedTuple[]): void {
    this.#hub.feedChanged(user, changes);
  }

  signedOut(user: UserId, device: string | null): void {
    this.#hub.signedOut(user, device);
  }

  interestedIn(conversation: ConversationId): number {
    return this.#hub.interestedIn(conversation);
  }

  isHere(user: UserId): boolean {
    for (const _ of this.#hub.sessionsOf(user)) return true;
    return false;
  }

  endReceivers(conversations: ReadonlySet<ConversationId>, withinMs: number): void {
    const isMany = conversations.size * this.#hub.sessions > looksMax;
    for (const session of [...this.#hub.everybody()])
      if (isMany || receivesOne(session, conversations)) session.end("goingAway", within(withinMs));
  }

  endDevice(user: UserId, device: string | null, withinMs: number): void {
    for (const session of [...this.#hub.sessionsOf(user)])
      if (device === null || session.device === device) sendAway(session, withinMs);
  }

  doubted(): number {
    const { leastMs, mostMs, eachMs } = syncAgain;
    const withinMs = Math.min(mostMs, Math.max(leastMs, Math.ceil(this.#hub.sessions * eachMs)));
    for (const session of [...this.#hub.everybody()]) {
      if (session.capabilities & capabilities.resync.bit) session.resync(withinMs);
      // Until their turn comes they go on as they are, rather than stay away for so long.
      else this.#clock.after(within(withinMs), () => session.resync(0));
    }
    return withinMs;
  }
}

/** One that is being checked is checked again. */
function sendAway(session: SessionHandle, withinMs: number): void {
  if (session.state === "verifying") session.doubted = true;
  else session.end("goingAway", within(withinMs));
}

function receivesOne({ line }: SessionHandle, conversations: ReadonlySet<ConversationId>): boolean {
  for (const one of conversations) if (line.isSubscribed(one) || line.isSubscribed(counterTopic(one))) return true;
  return false;
}

function within(withinMs: number): number {
  return Math.floor(Math.random() * withinMs);
}
