// What was begun and not sent yet, by person and conversation; outlives reloads and restarts of the browser.
// Kept in localStorage: at most one text a conversation, removed once sent.

const prefix = "parley.draft";

function keyOf(user: string, conversation: string): string {
  return `${prefix} ${user} ${conversation}`;
}

/** The draft, or an empty text. */
export function loadDraft(user: string, conversation: string): string {
  return localStorage.getItem(keyOf(user, conversation)) ?? "";
}

/** Keeps a draft; an empty one is removed. A full storage costs the draft's survival, not the draft on the screen. */
export function saveDraft(user: string, conversation: string, text: string): boolean {
  const name = keyOf(user, conversation);
  try {
    if (text === "") localStorage.removeItem(name);
    else localStorage.setItem(name, text);
    return true;
  } catch {
    return false;
  }
}
