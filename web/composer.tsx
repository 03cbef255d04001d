// Where a message is written: Enter sends, Shift+Enter begins a line, the draft is kept until it is sent.
import type { JSX, TargetedKeyboardEvent } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { loadDraft, saveDraft } from "./drafts";
import { SendIcon } from "./icons";

interface ComposerProps {
  readonly me: string | null;
  readonly conversation: string;
  /** Whom the message is for, in the field's name. */
  readonly to: string;
  /** Answers what is wrong, in words; nil when the message was taken. */
  readonly onSend: (text: string) => string | null;
  readonly onTyping: () => void;
}

/** Grows with its text up to a third of the screen. */
export function Composer({ me, conversation, to, onSend, onTyping }: ComposerProps): JSX.Element {
  const [text, setText] = useState(() => loadDraft(me ?? "", conversation));
  const [trouble, setTrouble] = useState<string | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  useGrowing(field, text);
  // Before it is painted: whoever sees the field may type.
  useLayoutEffect(() => {
    // On a phone the keyboard would cover what one came to read.
    if (matchMedia("(hover: hover)").matches) field.current?.focus();
  }, []);

  const change = (next: string): void => {
    setText(next);
    setTrouble(null);
    saveDraft(me ?? "", conversation, next);
    if (next !== "") onTyping();
  };
  const send = (): void => {
    if (text.trim() === "") return;
    const wrong = onSend(text.trim());
    if (wrong === null) change("");
    setTrouble(wrong);
    field.current?.focus();
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLTextAreaElement>): void => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {trouble && (
        <p class="trouble" role="alert">
          {trouble}
        </p>
      )}
      <div class="composer-field">
        <textarea
          ref={field}
          rows={1}
          value={text}
          aria-label={`Message to ${to}`}
          placeholder={`Message ${to}`}
          onInput={(event) => change(event.currentTarget.value)}
          onKeyDown={onKeyDown}
          enterkeyhint="send"
        />
        <button type="submit" class="send" title="Send (Enter)" aria-label="Send" disabled={text.trim() === ""}>
          <SendIcon />
        </button>
      </div>
    </form>
  );
}

function useGrowing(field: { readonly current: HTMLTextAreaElement | null }, text: string): void {
  useLayoutEffect(() => {
    const element = field.current;
    // A browser with field-sizing does it by itself.
    if (element === null || CSS.supports("field-sizing", "content")) return;
    element.rows = Math.min(8, element.value.split("\n").length);
  }, [field, text]);
}
