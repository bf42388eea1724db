#!/usr/bin/env python3
"""A server on loopback that speaks OpenAI's chat completions and answers by reading what is printed in the images. It is not a language model.

It looks for the white card in an image, reads it with tesseract, and knows two things: a heading on the card, or else what the prompt says was
heard at a frame, must share a word with the question. Two images with the same bytes are read once.

    answerer.py [--port N] [options]      prints `listening PORT` once it does

--truth Q.jsonl answers from a file of questions instead, wrong in --error-rate of cases. A question with "shown": [r, g, b] is answered right only
from an image of that colour; then an error makes a right answer wrong, and a wrong one right. The other options make it as awkward as servers are.
"""

import argparse
import base64
import collections
import hashlib
import http.server
import io
import json
import math
import os
import re
import subprocess
import sys
import threading
import time

EMPTY = set("a an the what which is are was were on in at of to while heard number printed card frame frames and or something like".split())


def stem(word):
    for ending, least in (("ings", 4), ("ing", 4), ("ies", 3), ("es", 4), ("ed", 4), ("s", 3)):
        short = word.removesuffix(ending)
        if short != word and len(short) >= least - 1:
            word = short
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def stems(text):
    return {stem(word) for word in re.findall(r"[a-z]+", text.lower()) if word not in EMPTY}


class Reader:
    """Reads cards; what was read once is kept."""

    def __init__(self):
        self.kept, self.lock = {}, threading.Lock()

    def read(self, jpeg):
        key = hashlib.sha256(jpeg).digest()
        with self.lock:
            if key in self.kept:
                return self.kept[key]
        card = self.card(jpeg)
        with self.lock:
            self.kept[key] = card
        return card

    @staticmethod
    def card(jpeg):
        """Heading and number of the card in an image, or None."""
        import numpy as np
        from PIL import Image

        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        white = np.asarray(image).min(axis=2) > 200
        rows, columns = np.flatnonzero(white.mean(axis=1) > 0.15), np.flatnonzero(white.mean(axis=0) > 0.1)
        if len(rows) < 8 or len(columns) < 16:
            return None
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        card = image.crop(box).convert("L")
        card = card.resize((card.width * 3, card.height * 3), Image.Resampling.LANCZOS)
        picture = io.BytesIO()
        card.save(picture, "PNG")
        said = subprocess.run(
            ["tesseract", "stdin", "stdout", "--psm", "6", "-l", "eng"],
            input=picture.getvalue(), capture_output=True, check=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        ).stdout.decode()
        numbers = re.findall(r"(?<!\d)\d{4}(?!\d)", said)
        if len(numbers) != 1:
            return None
        return " ".join(re.findall(r"[A-Za-z]{3,}", said)).lower(), numbers[0]


def message(request):
    """The images with what is said of each, and all of the text."""
    frames, text, before = [], [], ""
    for part in request["messages"][-1]["content"]:
        if part["type"] == "text":
            text.append(part["text"])
            before = part["text"]
        else:
            jpeg = base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
            frames.append((jpeg, before))
            before = ""
    return frames, "\n".join(text)


def by_reading(reader, request):
    """What is answered, how surely, and the frames that show it."""
    frames, text = message(request)
    question = text.rsplit("Question:", 1)[-1]
    question = re.split(r" Option A:|\nOption A:|Options: \(|Answer only| Considering| Does the information", question)[0]
    wanted = stems(question)
    if "Is this image grey" in text:
        return "yes", 0.9, [1]
    if "What makes the sound?" in text:
        letters = re.findall(r"Option ([A-Z]):", text)
        return letters[-1], 1 / len(letters), []
    far = [bool(re.search(r"for comparison, far", note)) for _, note in frames]
    labels = [re.search(r'something like "([^"]*)"', note) for _, note in frames]
    cards = [None if away else reader.read(jpeg) for (jpeg, _), away in zip(frames, far)]
    there = [(at, card) for at, card in enumerate(cards) if card]
    headed = [(at, number) for at, (heading, number) in there if heading and stems(heading) & wanted]
    bare = [(at, number) for at, (heading, number) in there if not heading]
    if any(labels):
        bare = [(at, number) for at, number in bare if labels[at] and stems(labels[at][1]) & wanted]
    if "Does the information within the frame" in text:
        share = 0.95 if headed else 0.5 if bare else 0.05
        return ("yes", share, [1]) if share >= 0.5 else ("no", 1 - share, [1])
    found = headed or bare
    if not found:
        return "unknown", 0.2, []
    number = collections.Counter(number for _, number in found).most_common(1)[0][0]
    return number, 0.9 if headed else 0.6, [at + 1 for at, of in found if of == number]


def has_colour(jpeg, colour):
    import numpy as np
    from PIL import Image

    mean = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).mean(axis=(0, 1))
    return np.abs(mean - colour).max() < 60


def by_truth(truth, rate, request):
    """The answer that a file has to this question, or now and then another one."""
    frames, text = message(request)
    if "Is this image grey" in text:
        return "yes", 0.9, [1]
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    wrong = int.from_bytes(digest[:4], "big") / 2**32 < rate
    known = [row for row in truth if row["question"] in text]
    if not known:
        return "unknown", 0.2, []
    row = max(known, key=lambda row: len(row["question"]))
    showing = [1]
    if "shown" in row:
        showing = [at + 1 for at, (jpeg, _) in enumerate(frames) if has_colour(jpeg, row["shown"])]
        wrong = wrong == bool(showing)
    if "Does the information within the frame" in text:
        return ("no" if wrong else "yes"), 0.8, showing
    if row.get("options"):
        at = row["options"].index(row["answer"])
        at = (at + 1 + digest[5] % (len(row["options"]) - 1)) % len(row["options"]) if wrong else at
        return chr(ord("A") + at), 0.8, showing
    return ("nothing of the kind" if wrong else row["answer"]), 0.8, showing


def completion(said, share, frames, request, args):
    """As a chat completion."""
    shape = request.get("response_format") if args.structured else None
    asks_json = "Answer with JSON" in json.dumps(request["messages"])
    content = json.dumps({"answer": said, "frames": frames}) if shape or asks_json else said
    answer = {
        "id": "x", "object": "chat.completion", "model": request["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
    }
    images = sum(part["type"] != "text" for part in request["messages"][-1]["content"])
    answer["usage"] = {"prompt_tokens": 20 + 100 * images, "completion_tokens": 4, "total_tokens": 24 + 100 * images}
    if request.get("logprobs") and args.logprobs:
        other = {"yes": "no", "no": "yes"}.get(said)
        others = [] if other is None else [other]
        letters = re.findall(r"Option ([A-Z]):", json.dumps(request["messages"]))
        if said in letters:
            others = [letter for letter in dict.fromkeys(letters) if letter != said]
        rest = (1 - share) / max(1, len(others))
        pair = lambda token, p: {"token": token, "logprob": math.log(max(p, 1e-6)), "bytes": None}
        top = [pair(said, share), *(pair(other, rest) for other in others)]
        answer["choices"][0]["logprobs"] = {"content": [{**pair(said, share), "top_logprobs": top}]}
    return answer


def handler(args, truth):
    reader, lock, count = Reader(), threading.Lock(), [0]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def send(self, status, text, more=()):
            body = text.encode()
            self.send_response(status)
            for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), *more):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def error(self, status, text, more=()):
            self.send(status, json.dumps({"error": {"message": text, "type": "made"}}), more)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                count[0] += 1
                number = count[0]
            if args.log:
                with lock, open(args.log, "a") as log:
                    log.write(f"{self.headers.get('idempotency-key')}\n")
            if args.key and self.headers.get("authorization") != f"Bearer {args.key}":
                return self.error(401, "no such key")
            due = lambda every: every and number % every == 0
            if due(args.stall_every):
                time.sleep(3600)
            if due(args.broken_every):
                return self.send(200, '{"choices": [{"message": ')
            if due(args.status_429_every):
                return self.error(429, "too fast", [("retry-after", "0")])
            if due(args.status_500_every):
                return self.error(500, "out of order")
            request = json.loads(body)
            images = sum(part["type"] != "text" for part in request["messages"][-1]["content"])
            if images > args.max_images:
                return self.error(400, f"at most {args.max_images} images may be given, not {images}")
            if args.refuse_logprobs and request.get("logprobs"):
                return self.error(400, "logprobs are not supported")
            if args.delay_ms:
                time.sleep(args.delay_ms / 1e3)
            if truth is None:
                said = by_reading(reader, request)
            else:
                said = by_truth(truth, args.error_rate, request)
            self.send(200, json.dumps(completion(*said, request, args)))

    return Handler


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that was killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--truth")
    parser.add_argument("--error-rate", type=float, default=0.0)
    parser.add_argument("--no-logprobs", dest="logprobs", action="store_false")
    parser.add_argument("--refuse-logprobs", action="store_true")
    parser.add_argument("--no-structured", dest="structured", action="store_false")
    parser.add_argument("--max-images", type=int, default=1000)
    for name in ("stall", "broken", "status-429", "status-500"):
        parser.add_argument(f"--{name}-every", type=int, default=0)
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--key")
    parser.add_argument("--log")
    args = parser.parse_args()
    truth = None
    if args.truth:
        with open(args.truth) as lines:
            truth = [json.loads(line) for line in lines if line.strip()]
    server = Server(("127.0.0.1", args.port), handler(args, truth))
    print("listening", server.server_address[1], flush=True)
    # It ends with whoever started it.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
