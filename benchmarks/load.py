"""Clients at once against a running service on loopback: answers, refusals, memory.

    openaffect serve --port 8000 --threads 1 &
    openaffect analyze CLIP --jobs 1 --json > expected.json
    python benchmarks/load.py --url http://127.0.0.1:8000 --pid $! --expected expected.json

One request in five is garbage and one in ten is left early. Only loopback addresses are accepted.
Every good answer must be the command line's, but for the path of the clip. Memory is the sum over
the service and its processes after ten good answers and at the end.
"""

import argparse
import collections
import ipaddress
import json
import random
import threading
import time
import urllib.parse
from pathlib import Path

import httpx2 as httpx

EXAMPLE = Path(__file__).parents[1] / "examples" / "surprise-and-joy.mp4"
SHARE_GARBAGE, SHARE_LEAVING = 0.2, 0.1
MOST_WAIT = 2.0  # seconds after a 429, whatever it says


def memory_of(pid: int) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    waiting = [pid]
    while waiting:
        number = waiting.pop()
        try:
            status = Path(f"/proc/{number}/status").read_text()
            for children in Path(f"/proc/{number}/task").glob("*/children"):  # of every thread
                waiting += map(int, children.read_text().split())
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def pathless(text: str) -> str:
    """An Analysis as JSON without the path of its clip."""
    document = json.loads(text)
    document["clip"].pop("path")
    return json.dumps(document, sort_keys=True)


def client(url: str, clip: bytes, until: float, seed: int, seen: dict) -> None:
    """Ask until the time is over."""
    chance = random.Random(seed)
    with httpx.Client(base_url=url, timeout=600) as session:
        while time.monotonic() < until:
            draw = chance.random()
            data, patience = clip, 600.0
            if draw < SHARE_GARBAGE:
                data = chance.randbytes(chance.randint(1, 20_000))
            elif draw < SHARE_GARBAGE + SHARE_LEAVING:
                patience = chance.uniform(0.05, 1.0)
            try:
                answer = session.post(
                    "/v1/analyze", files={"file": ("clip.mp4", data)}, timeout=patience
                )
            except httpx.TimeoutException:
                kind = "left"
            except httpx.TransportError:
                kind = "connection lost"
            else:
                kind = str(answer.status_code)
                if answer.status_code == 200:
                    with seen["lock"]:
                        seen["answers"][pathless(answer.text)] += 1
                elif answer.status_code == 429:
                    wait = float(answer.headers.get("retry-after", 1))
                    time.sleep(min(wait, MOST_WAIT) * chance.random())
            with seen["lock"]:
                seen["kinds"][kind] += 1


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--clip", type=Path, default=EXAMPLE)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--expected", type=Path, default=None, help="the command line's answer")
    parser.add_argument("--pid", type=int, default=None, help="of the service, for its memory")
    options = parser.parse_args()
    host = urllib.parse.urlsplit(options.url).hostname or ""
    if not ipaddress.ip_address(host).is_loopback:
        raise SystemExit("only a loopback address, such as 127.0.0.1, may be put under load")
    clip = options.clip.read_bytes()
    seen: dict = {
        "lock": threading.Lock(),
        "answers": collections.Counter(),
        "kinds": collections.Counter(),
    }
    until = time.monotonic() + options.seconds
    threads = [
        threading.Thread(target=client, args=(options.url, clip, until, number, seen))
        for number in range(options.clients)
    ]
    for thread in threads:
        thread.start()
    first = None
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        if options.pid and first is None and sum(seen["answers"].values()) >= 10:
            first = memory_of(options.pid)
    print("answers by status:", dict(seen["kinds"]))
    good = sum(seen["answers"].values())
    print(f"{good} good answers, {len(seen['answers'])} different ones (1 is right)")
    if options.expected is not None:
        expected = pathless(options.expected.read_text("utf-8"))
        print(f"{seen['answers'][expected]} of them equal the command line's")
    if options.pid and first:
        last = memory_of(options.pid)
        print(f"memory {first / 1e9:.2f} GB, then {last / 1e9:.2f} GB: {last / first - 1:+.1%}")


if __name__ == "__main__":
    main()
