"""Pages as Chromium lays them out, at several widths."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
SECONDS = 120

# A frame is as wide as it is told, which a window is not; each page is shown in one of its own.
SCRIPT = """
const found = [];
function facts(frame, page, width) {
  const shown = frame.contentDocument, root = shown.documentElement;
  const view = frame.contentWindow, body = view.getComputedStyle(shown.body);
  const lowest = name => {
    const part = shown.querySelector(name);
    return part === null ? null : part.getBoundingClientRect().bottom;
  };
  return {
    page, width, client: root.clientWidth, scroll: root.scrollWidth,
    title: shown.title, ground: body.backgroundColor, ink: body.color,
    verdict: lowest(".verdict"), heading: lowest("h1"),
    broken: [...shown.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
    cells: [...shown.querySelectorAll("td, th")].filter(c => c.scrollWidth > c.clientWidth + 1)
      .map(c => c.textContent),
    cut: [...shown.querySelectorAll("svg")].flatMap(cut),
  };
}
function cut(figure) {
  const room = figure.getBoundingClientRect();
  const out = text => {
    const box = text.getBoundingClientRect();
    return box.left < room.left - 1 || box.right > room.right + 1
      || box.top < room.top - 1 || box.bottom > room.bottom + 1;
  };
  return [...figure.querySelectorAll("text")].filter(out).map(text => text.textContent);
}
async function show(page, width) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 844px; border: 0`;
  frame.src = page;
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; });
  await new Promise(done => { setTimeout(done, 50); });
  found.push(facts(frame, page, width));
  frame.remove();
}
(async () => {
  for (const page of PAGES) for (const width of WIDTHS) await show(page, width);
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
"""


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments, outer, found, folder):
        self.outer, self.found = outer, found
        super().__init__(*arguments, directory=str(folder))

    def do_GET(self):
        if self.path != "/outer":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.outer.encode())

    def do_POST(self):
        self.found.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *arguments):
        pass


@contextmanager
def _served(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.done = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def looked_at(folder, pages, widths, dark=False):
    """What Chromium makes of each page in a folder, at each width in pixels.

    Returns:
        a list of facts: ``page``, ``width``, ``client`` and ``scroll`` (the widths of what is seen
        and of what there is), ``title``, ``ground`` and ``ink`` (colours), ``verdict`` and
        ``heading`` (where they end from above), ``broken`` images, ``cells`` that are cut off, and
        texts that are ``cut`` off by their figure.
    """
    script = f"const PAGES = {json.dumps(pages)}, WIDTHS = {json.dumps(widths)};{SCRIPT}"
    outer, found = f"<!DOCTYPE html><body><script>{script}</script></body>", []
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--disable-quic", "--remote-debugging-port=0"]  # with a port it stays open
    command += ["--blink-settings=preferredColorScheme=0"] if dark else []
    handler = partial(_Handler, outer=outer, found=found, folder=folder)
    with tempfile.TemporaryDirectory() as profile, _served(handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/outer"
        browser = subprocess.Popen(
            [*command, f"--user-data-dir={profile}", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert server.done.wait(SECONDS), f"Chromium has not answered in {SECONDS} s"
        finally:
            os.killpg(browser.pid, 9)
            browser.wait()
    return found
