// How conversation ids come about: the same people or the same create always give the same id.
import { createHash } from "node:crypto";
import type { ClientId, ConversationId, UserId } from "../protocol/ids";

/**
 * The id of a conversation about to be created. Direct ones follow from the pair, whoever asks; all others from the creator
 * and the client id of the create, so that repeating it finds the same conversation.
 */
export function conversationIdFor(
  direct: boolean,
  creator: UserId,
  clientId: ClientId,
  members: readonly UserId[],
): ConversationId {
  return direct ? hashed("d", [creator, members[0] ?? creator].sort()) : hashed("g", [creator, clientId]);
}

/** SHA-256 over length-prefixed parts, cut to 128 bits: no part can be glued to look like another. */
function hashed(letter: "d" | "g", parts: readonly string[]): ConversationId {
  const hash = createHash("sha256").update(letter);
  for (const part of parts) {
    const bytes = Buffer.from(part, "utf8");
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  }
  return `${letter}${hash.digest().subarray(0, 16).toString("base64url")}` as ConversationId;
}
