#!/usr/bin/env python3
"""Looks at the page of `earmark live` in a headless Chromium and says as JSON what is on it.

    look.py URL PICTURE.png WIDTH HEIGHT

Waits until a source is healthy and its drawing has ink. Prints {"text", "wide", "errors", "ink"}: the text, whether it is wider than the window,
what the page's scripts complained of, and how many pixels of the first drawing are not empty. Exit status 77 without chromium.
"""
import base64
import json
import shutil
import sys
import tempfile

from browser import Browser

INK = """(() => {
  const c = document.querySelector("canvas"); if (!c) return 0;
  const all = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let n = 0;
  for (let k = 3; k < all.length; k += 4) n += all[k] > 0;
  return n;
})()"""


def main():
    url, picture, width, height = sys.argv[1:5]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        print("skipped: chromium is not installed", file=sys.stderr)
        sys.exit(77)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tab = Browser(chromium, folder)
        try:
            tab.size(int(width), int(height), mobile=int(width) < 600)
            tab.call("Page.navigate", url=url)
            tab.until(f"document.querySelector('.healthy') && {INK} > 500 && !!document.querySelector('.anchors li')", "everything was shown", 60)
            text, wide = tab.do("document.body.innerText"), tab.do("document.documentElement.scrollWidth > innerWidth")
            ink = tab.do(INK)
            shot = tab.call("Page.captureScreenshot", format="png")["data"]
        finally:
            tab.process.kill()
            tab.process.wait()
    with open(picture, "wb") as file:
        file.write(base64.b64decode(shot))
    print(json.dumps({"text": text, "wide": wide, "errors": tab.complaints, "ink": ink}))


main()
