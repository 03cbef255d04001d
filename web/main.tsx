// The page's start: puts the app into the document. The only module of the document that runs when it is loaded.
import { render } from "preact";
import { App } from "./app";

const place = document.getElementById("app");
if (place === null) throw new Error("the document has no element #app");
render(<App />, place);

// Without it the page works all the same, but cannot be reloaded while the server is away.
navigator.serviceWorker?.register("/offline-worker.js").catch(() => null);
