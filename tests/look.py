"""Looks at a page with a real browser (chromium, headless) and says as JSON what is on it.

    python3 look.py URL PICTURE.png WIDTH HEIGHT SECONDS

Prints {"text", "wide", "errors", "ink"}: the text, whether it is wider than the window, what the page's scripts complained of, and how many pixels
of the first drawing are not empty.
"""
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request


class Browser:
    """Chromium, spoken to by its DevTools protocol over a WebSocket."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}",
             "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for line in self.process.stderr:
            if "DevTools listening" in line:
                port = int(line.split("127.0.0.1:")[1].split("/")[0])
                break
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list"))
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self.socket = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {address.split(str(port), 1)[1]} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.socket.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.reader = self.socket.makefile("rb")
        while self.reader.readline().strip():
            pass
        self.number, self.errors = 0, []

    def message(self):
        data = b""
        while True:
            first, size = self.reader.read(2)
            size &= 127
            if size == 126:
                size = struct.unpack(">H", self.reader.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.reader.read(8))[0]
            data += self.reader.read(size)
            if first & 0x80:
                return json.loads(data)

    def call(self, method, **params):
        self.number += 1
        body, mask = json.dumps({"id": self.number, "method": method, "params": params}).encode(), os.urandom(4)
        size = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0xFE]) + struct.pack(">H", len(body))
        self.socket.sendall(b"\x81" + size + mask + bytes(byte ^ mask[k % 4] for k, byte in enumerate(body)))
        while True:
            said = self.message()
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(said["params"])[:400])
            if said.get("id") == self.number:
                return said["result"]

    def value(self, script):
        return self.call("Runtime.evaluate", expression=script)["result"].get("value")


INK = """(() => {
  const c = document.querySelector("canvas"), all = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let n = 0;
  for (let k = 3; k < all.length; k += 4) n += all[k] > 0;
  return n;
})()"""


def main():
    url, picture, width, height, seconds = sys.argv[1:6]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(folder)
        try:
            for domain in ("Runtime", "Log", "Page"):
                browser.call(f"{domain}.enable")
            size = {"width": int(width), "height": int(height), "deviceScaleFactor": 1, "mobile": int(width) < 600}
            browser.call("Emulation.setDeviceMetricsOverride", **size)
            browser.call("Page.navigate", url=url)
            time.sleep(float(seconds))
            text, wide = browser.value("document.body.innerText"), browser.value("document.documentElement.scrollWidth > innerWidth")
            ink = browser.value(INK)
            shot = browser.call("Page.captureScreenshot", format="png")["data"]
        finally:
            browser.process.kill()
            browser.process.wait()
        with open(picture, "wb") as file:
            file.write(base64.b64decode(shot))
        print(json.dumps({"text": text, "wide": wide, "errors": browser.errors, "ink": ink}))


main()
