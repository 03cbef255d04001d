// Every limit that a client can meet, in one table (G11). Hello answers those a client must know; PROTOCOL.md lists them all.
// Limits of bytes count UTF-8. What an operator may change is in lib/config.ts and starts from these.

/** The limits by name. Positive integers, fixed for v1 unless a server announces others in hello. */
export const limits = {
  /** Bytes of one WebSocket message, in either direction; pages and pushes are cut to fit. */
  frameBytesMax: 256 * 1024,
  /** Frames in one WebSocket message, in either direction. */
  messageFramesMax: 1024,
  /** Bytes of a message's text. */
  textBytesMax: 64 * 1024,
  /** Bytes of one encoded message body, all parts together. */
  bodyBytesMax: 96 * 1024,
  /** Messages in one `send`. */
  sendItemsMax: 256,
  attachmentsMax: 32,
  mentionsMax: 100,
  /** Bytes of an encoded `fields` map, on a message or a conversation. */
  fieldsBytesMax: 8 * 1024,
  /** Bytes of a data part's type name. */
  dataTypeBytesMax: 128,
  nameBytesMax: 256,
  pictureBytesMax: 2048,
  clientIdBytesMax: 64,
  /** People named by one create, add or remove. */
  namedPeopleMax: 1000,
  /** People named by one `members` entry; larger changes append several. */
  entryPeopleMax: 100,
  /** Members of a conversation, where its type says nothing less. */
  membersMax: 100_000,
  /** Conversations of one person. */
  conversationsPerUserMax: 10_000,
  /** Conversations in one page of sync or list. */
  syncPageMax: 500,
  /** Messages in one page of history; entries in one answer of `entries`. */
  pageMax: 200,
  pageBytesMax: 192 * 1024,
  /** Entries that sync resumes for one conversation; past it the client fetches. */
  resumeEntriesMax: 256,
  /** People in one answer of members and readers. */
  peoplePageMax: 1000,
  /** Up to this many members, receipts and signals are pushed. */
  receiptMembersMax: 100,
  /** People whose presence one session watches. */
  watchMax: 200,
  /** Conversations that one session has open, see the operation `open`. */
  openMax: 16,
  signalBytesMax: 1024,
  /** Depth of nested arrays and maps in a frame. Leaves room for {@link limits.valueNestingMax} in the deepest reply. */
  nestingMax: 32,
  /** Depth of nested arrays and maps in free data: data, an attachment, `fields`, a signal. */
  valueNestingMax: 16,
  metaBytesMax: 1024,
  tokenBytesMax: 8 * 1024,
  devicesPerUserMax: 50,
} as const;
