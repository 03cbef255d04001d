// The channel to the process that started this one, where that one made it: main.ts hands it to the commands.
import type { ParentProcess } from "./context";

/** The parent that spawned this process with a channel; null where it has none. */
export function parentOf(self: NodeJS.Process): ParentProcess | null {
  if (self.send === undefined) return null;
  let waiting = false;
  return {
    send(message) {
      // A parent that stands still reads nothing: nothing is heaped up for it.
      if (waiting || !self.connected) return false;
      waiting = true;
      self.send?.(message, undefined, undefined, () => {
        waiting = false;
      });
      return true;
    },
    onGone: (call) => void self.once("disconnect", call),
  };
}
