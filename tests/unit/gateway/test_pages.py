"""The page's event stream: its own JavaScript in Node, with a stand-in for the browser's connections."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

BROWSER = """
const streams = [], timers = [];
globalThis.SharedWorkerGlobalScope = class {};
globalThis.self = new SharedWorkerGlobalScope();
globalThis.EventSource = class {
  static OPEN = 1; static CLOSED = 2;
  constructor(address) { this.address = String(address); this.readyState = 0; this.heard = {}; streams.push(this); }
  addEventListener(kind, tell) { this.heard[kind] = tell; }
  accept() { this.readyState = 1; this.onopen(); }
  refuse() { this.readyState = 2; this.onerror(); }
  close() { this.readyState = 2; }
};
globalThis.setTimeout = (act) => timers.push(act);
globalThis.clearTimeout = () => {};
globalThis.setInterval = () => {};
const open = () => streams.filter((each) => each.readyState !== EventSource.CLOSED).length;
const page = () => {
  const port = { heard: [], postMessage(word) { this.heard.push(word); } };
  self.onconnect({ ports: [port] });
  port.say = (data) => port.onmessage({ data });
  port.say("seen");
  return port;
};
await import("./stream.mjs");
"""


def played(folder: Path, steps: str) -> Any:
    """Return what a script says that plays pages of one browser, as the shared worker sees them."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's JavaScript")
    source = resources.files("bellwether.gateway").joinpath("static", "stream.js").read_text()
    (folder / "stream.mjs").write_text(source)
    (folder / "play.mjs").write_text(BROWSER + steps)
    command = [node, str(folder / "play.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_seven_open_pages_share_one_stream_so_that_the_halt_button_has_a_connection(tmp_path: Path) -> None:
    found = played(
        tmp_path,
        """
        const pages = [...Array(7)].map(page);
        streams[0].accept();
        streams[0].heard.order_filled();
        console.log(JSON.stringify({ open: open(), heard: pages.map((each) => each.heard), late: page().heard }));
        """,
    )
    assert found == {"open": 1, "heard": [["open", "news"]] * 7, "late": ["open"]}


def test_hidden_pages_have_no_stream_and_one_that_is_seen_again_has(tmp_path: Path) -> None:
    found = played(
        tmp_path,
        """
        const [one, other] = [page(), page()], counts = [];
        for (const [port, word] of [[one, "hidden"], [other, "hidden"], [one, "seen"]]) {
          port.say(word);
          counts.push(open());
        }
        console.log(JSON.stringify(counts));
        """,
    )
    assert found == [1, 0, 1]


def test_a_refused_stream_is_asked_for_again_later_and_not_at_once(tmp_path: Path) -> None:
    found = played(
        tmp_path,
        """
        const port = page();
        streams[0].refuse();
        port.say("seen");
        const before = streams.length;
        timers[0]();
        console.log(JSON.stringify({ before, after: streams.length, heard: port.heard }));
        """,
    )
    assert found == {"before": 1, "after": 2, "heard": ["closed"]}
