// Faults of clients: many lose their connection at one moment and come back to any node.
import { told } from "./faults";
import type { Fault } from "./faults";

/** Half of everybody at once; single ones come and go all the time without being counted. */
export const clientFaults: readonly Fault[] = [
  {
    name: "half of the clients reconnect",
    group: "clients",
    victims: () => 1,
    play: (scene) =>
      told(scene, "half of the clients reconnect", "clients", async () => {
        for (const client of scene.company.clients) if (scene.random.chance(0.5)) client.drop();
      }),
  },
];
