// The page's start: puts the app into the document. The only module here that runs when it is loaded.
import { render } from "preact";
import { App } from "./app";

const place = document.getElementById("app");
if (place === null) throw new Error("the document has no element #app");
render(<App />, place);
