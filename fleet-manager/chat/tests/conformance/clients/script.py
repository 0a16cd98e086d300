#!/usr/bin/python3
"""The conformance cases with Python's `websockets` (Debian: python3-websockets): what script.mjs is for JavaScript.

    script.py --url URL --cases DIR --accounts FILE
"""

import argparse
import asyncio
import base64
import json
import pathlib
import re

import websockets

# Nothing takes longer on a machine that is busy with other tests.
DEADLINE_S = 20
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
CAN = {"binary", "pieces", "ping", "status"}
ORIGINS = {"foreign": "https://foreign.example"}
MISSING = object()


class Failed(Exception):
    """Something is not as the case says."""


def fill(value, names, number=None):
    """Replaces what stands for something that only this run knows."""
    if isinstance(value, str):
        if value == "$channel":
            return names["channel"]
        for kind in ("token", "saved"):
            if value.startswith(f"${kind}:"):
                return names[kind][value.split(":", 1)[1]]
        return value if number is None else value.replace("#", str(number))
    if isinstance(value, list):
        return [fill(item, names, number) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, names, number) for key, item in value.items()}
    return value


def difference(expected, found, path=""):
    """Says what is different, or None. Objects may have more than is expected, lists may not."""
    if expected == "$any":
        return f"{path} is missing" if found is MISSING else None
    if expected == "$absent":
        return None if found is MISSING else f"{path} is there"
    if expected == "$id":
        return None if isinstance(found, str) and ULID.fullmatch(found) else f"{path} is no id: {found}"
    if expected == "$text":
        return None if isinstance(found, str) and found else f"{path} is no text"
    if expected == "$number":
        return None if isinstance(found, (int, float)) else f"{path} is no number"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return f"{path} is {found}"
        problems = (difference(value, found.get(key, MISSING), f"{path}/{key}") for key, value in expected.items())
        return next((problem for problem in problems if problem), None)
    if isinstance(expected, list):
        if not isinstance(found, list) or len(expected) != len(found):
            return f"{path} is {found}"
        problems = (difference(*pair, f"{path}/{index}") for index, pair in enumerate(zip(expected, found)))
        return next((problem for problem in problems if problem), None)
    return None if expected == found and type(expected) is type(found) else f"{path} is {found}, not {expected}"


def at(value, path):
    for key in path.split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


class Player:
    def __init__(self, url, names):
        self.url = url
        self.names = {"channel": names["channel"], "token": names["tokens"], "saved": {}}
        self.connections = {}

    async def frame(self, who, seconds=DEADLINE_S):
        while True:
            try:
                text = await asyncio.wait_for(self.connections[who].recv(), seconds)
            except (asyncio.TimeoutError, websockets.ConnectionClosed):
                return None
            value = json.loads(text)
            # Counts come when they come.
            if value["t"] != "counts":
                return value

    async def open(self, step):
        subprotocol = step.get("subprotocol", "nodi.chat.v1")
        origin = step.get("origin")
        try:
            connection = await websockets.connect(
                self.url,
                subprotocols=None if subprotocol is None else [subprotocol],
                origin=ORIGINS.get(origin, origin),
                ping_interval=None,
                max_size=None,
                open_timeout=DEADLINE_S,
            )
        except websockets.InvalidStatusCode as error:
            if step.get("refused") != error.status_code:
                raise Failed(f"refused with {error.status_code}") from error
            return
        if "refused" in step:
            await connection.close()
            raise Failed("let in")
        self.connections[step["open"]] = connection

    async def send(self, step):
        connection = self.connections[step["send"]]
        try:
            if "pieces" in step:
                await connection.send(step["pieces"])
            elif "ping" in step:
                pong = await connection.ping(step["ping"])
                await asyncio.wait_for(pong, DEADLINE_S)
            elif "base64" in step:
                await connection.send(base64.b64decode(step["base64"]))
            elif "text" in step:
                await connection.send(step["text"] * step.get("times", 1))
            else:
                for number in range(1, step.get("series", 1) + 1):
                    value = fill(step["frame"], self.names, number if "series" in step else None)
                    await connection.send(json.dumps(value))
        except websockets.ConnectionClosed:
            pass  # For the `closed` step to see.

    async def expect(self, step):
        who = step["expect"]
        left = list(step.get("any_order", []))
        while left:
            found = await self.frame(who)
            index = next((i for i, value in enumerate(left) if not difference(fill(value, self.names), found)), None)
            if index is None:
                raise Failed(f"{who} got {found}")
            del left[index]
        if "frame" not in step:
            return
        for number in range(1, step.get("series", 1) + 1):
            found = await self.frame(who)
            while step.get("eventually") and found and difference(fill(step["frame"], self.names), found):
                found = await self.frame(who)
            if found is None:
                raise Failed(f"{who} got nothing")
            expected = fill(step["frame"], self.names, number if "series" in step else None)
            problem = difference(expected, found)
            if problem:
                raise Failed(f"{who}: {problem} in {found}")
            for name, path in step.get("save", {}).items():
                self.names["saved"][name] = at(found, path)

    async def quiet(self, step):
        found = await self.frame(step["quiet"], step["ms"] / 1_000)
        if found is not None:
            raise Failed(f"{step['quiet']} got {found}")

    async def closed(self, step):
        connection = self.connections[step["closed"]]
        await asyncio.wait_for(connection.wait_closed(), DEADLINE_S)
        if connection.close_code != step["code"]:
            raise Failed(f"{step['closed']} was closed with {connection.close_code}, not {step['code']}")

    async def close(self, step):
        await self.connections[step["close"]].close()

    async def play(self, steps):
        try:
            for number, step in enumerate(steps, 1):
                kind = next(known for known in ("open", "send", "expect", "quiet", "closed", "close") if known in step)
                try:
                    await getattr(self, kind)(step)
                except Exception as error:
                    raise Failed(f"step {number}, {json.dumps(step)}: {error or type(error).__name__}") from error
        finally:
            for connection in self.connections.values():
                await connection.close()


async def main():
    parser = argparse.ArgumentParser()
    for name in ("url", "cases", "accounts"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    accounts = json.loads(pathlib.Path(options.accounts).read_text())
    for file in sorted(pathlib.Path(options.cases).glob("*.json")):
        for case in json.loads(file.read_text()):
            line = {"case": case["name"]}
            lacks = set(case.get("needs", [])) - CAN
            if lacks:
                line["skipped"] = f"websockets cannot: {', '.join(sorted(lacks))}"
            else:
                try:
                    await Player(options.url, accounts[case["name"]]).play(case["steps"])
                    line["ok"] = True
                except Failed as error:
                    line["error"] = str(error)
            print(json.dumps(line), flush=True)


asyncio.run(main())
