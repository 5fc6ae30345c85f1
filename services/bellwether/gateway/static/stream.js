// The event stream, opened once however many pages of this browser show the gateway: a browser has six connections to
// a host, and seven pages with a stream each would leave none for the halt button. As a shared worker this file holds
// the stream for all of them; where there are no shared workers, each page that can be seen has its own.

const KINDS = ["prediction_generated", "order_queued", "order_filled", "order_refused", "halt_changed", "replay", "account", "replay_completed", "missed"];
const AGAIN = 15000, SILENT = 30000;

export class Stream {
  // Tells "open", "news" and "closed". The address is relative to this file.
  constructor(tell) {
    this.tell = tell;
    this.source = null;
    this.again = null;
  }

  open() {
    if (this.source || this.again) return;
    const source = this.source = new EventSource(new URL("../v1/events", import.meta.url));
    source.onopen = () => this.tell("open");
    for (const kind of KINDS) source.addEventListener(kind, () => this.tell("news"));
    source.onerror = () => {
      this.tell("closed");
      // The browser tries again by itself, but not after a refusal: no token, or as many streams as there may be.
      if (source.readyState !== EventSource.CLOSED) return;
      this.close();
      this.again = setTimeout(() => { this.again = null; this.open(); }, AGAIN);
    };
  }

  close() {
    this.source?.close();
    clearTimeout(this.again);
    this.source = this.again = null;
  }
}

function share() {
  const seen = new Map(); // By the page's port: when it was last heard of.
  const stream = new Stream((word) => { for (const port of seen.keys()) port.postMessage(word); });
  const look = () => {
    for (const [port, at] of seen) if (Date.now() - at > SILENT) seen.delete(port);
    if (seen.size) stream.open(); else stream.close();
  };
  self.onconnect = ({ ports: [port] }) => {
    port.onmessage = ({ data }) => {
      const fresh = !seen.has(port);
      if (data === "seen") seen.set(port, Date.now()); else seen.delete(port);
      look();
      if (fresh && data === "seen" && stream.source?.readyState === EventSource.OPEN) port.postMessage("open");
    };
  };
  setInterval(look, SILENT / 3);
}

if (typeof SharedWorkerGlobalScope !== "undefined" && self instanceof SharedWorkerGlobalScope) share();
