// News for a page: through the shared worker, or a stream of its own where there is none; nothing while it is hidden.

import { Stream } from "./stream.js";

const SIGN_OF_LIFE = 10000;

export function watch(tell) {
  let open = false;
  const hear = (word) => {
    open = word !== "closed";
    if (open) tell();
  };
  let say = through(hear, () => { say = own(hear); now(); }) ?? own(hear);
  const now = () => say(document.hidden ? "hidden" : "seen");
  document.addEventListener("visibilitychange", now);
  addEventListener("pageshow", now);
  addEventListener("pagehide", () => say("hidden"));
  setInterval(() => { if (!document.hidden) now(); }, SIGN_OF_LIFE);
  now();
  return () => open;
}

function through(hear, failed) {
  if (typeof SharedWorker === "undefined") return null;
  const worker = new SharedWorker("static/stream.js", { type: "module", name: "bellwether-news" });
  worker.onerror = failed;
  worker.port.onmessage = ({ data }) => hear(data);
  return (word) => worker.port.postMessage(word);
}

function own(hear) {
  const stream = new Stream(hear);
  return (word) => { if (word === "seen") stream.open(); else stream.close(); };
}
