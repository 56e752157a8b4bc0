"""Many visitors at once on the demo's page: none lost, memory bounded, and how long each waits.

Each visitor opens the page as a browser's code does (config, then the queue), takes an example, moves the disc several times, each time
when the last answer has come, and saves the mesh. The page runs in a process of its own, whose memory is read from /proc.

Run: OMP_NUM_THREADS=1 python benchmarks/demo_visitors.py [--visitors 50] [--moves 5]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import secrets
import time
from multiprocessing.connection import Connection
from typing import Any

import httpx
import numpy as np
from machine import memory_mb

CHOICE = ("model", "refine", "hand")
"""Names of what a visitor may choose; the crowd leaves all as the page offers them first."""


def run_page(connection: Connection) -> None:
    from occhand.demo.serve import serve
    from occhand.demo.shelf import Shelf

    with serve(Shelf()) as address:
        connection.send(address)
        connection.recv()


class Visitor:
    """One session; waits for each answer."""

    def __init__(self, client: httpx.AsyncClient, handlers: dict[str, int], choice: list[Any]) -> None:
        self.client, self.handlers, self.choice, self.session = client, handlers, choice, secrets.token_hex(6)
        self.waits: list[float] = []

    async def ask(self, handler: str, data: list[Any], event: dict[str, Any] | None = None) -> dict[str, Any]:
        start = time.perf_counter()
        body = {"data": data, "fn_index": self.handlers[handler], "event_data": event, "session_hash": self.session}
        (await self.client.post("/gradio_api/queue/join", json=body)).raise_for_status()
        async with self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session}) as answer:
            async for line in answer.aiter_lines():
                message = json.loads(line[5:]) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    self.waits.append(time.perf_counter() - start)
                    assert message["success"], message
                    return message["output"]["data"][0]
        raise AssertionError("the page closed the connection")

    async def visit(self, number: int, moves: int) -> None:
        (await self.client.get("/")).raise_for_status()
        record = await self.ask("example", self.choice, {"number": number % 6})
        caption, (width, height) = record["facts"][0], record["size"]
        for k in range(moves):
            disc = {"shown": True, "x": width * (0.3 + 0.4 * k / moves), "y": height / 2, "radius": width / 12}
            record = await self.ask("move", self.choice, disc)
            assert record["kind"] == "answer", record
            assert record["facts"][0] == caption, "another visitor's picture"
        mesh = await self.ask("download", [], {"kind": "glb"})
        assert base64.b64decode(mesh["content"])[:4] == b"glTF"


async def crowd(address: str, count: int, moves: int) -> tuple[list[BaseException], np.ndarray]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, timeout=600, limits=limits) as client:
        config = (await client.get("/config")).json()
        handlers = {part["targets"][0][1]: part["id"] for part in config["dependencies"] if part["targets"]}
        values = {part["props"].get("elem_id"): part["props"].get("value") for part in config["components"]}
        visitors = [Visitor(client, handlers, [values[name] for name in CHOICE]) for _ in range(count)]
        outcomes = await asyncio.gather(*(visitor.visit(k, moves) for k, visitor in enumerate(visitors)), return_exceptions=True)
    waits = np.concatenate([visitor.waits for visitor in visitors])
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)], waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--moves", type=int, default=5)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    page = multiprocessing.get_context("spawn").Process(target=run_page, args=(theirs,), daemon=True)
    page.start()
    address = ours.recv()
    assert page.pid is not None
    asyncio.run(crowd(address, 1, options.moves))
    print(f"one visitor: {memory_mb(page.pid)[0]:.0f} MB")
    for turn in (1, 2, 3):
        start = time.perf_counter()
        lost, waits = asyncio.run(crowd(address, options.visitors, options.moves))
        now, peak = memory_mb(page.pid)
        print(
            f"crowd {turn} of {options.visitors}: {len(lost)} lost, {len(waits)} answers in {time.perf_counter() - start:.0f} s, "
            f"wait {np.median(waits):.1f} s median, {waits.max():.1f} s at most; memory {now:.0f} MB, peak {peak:.0f} MB"
        )
        for error in lost[:3]:
            print("  ", repr(error))
    ours.send("stop")
    page.join(20)


if __name__ == "__main__":
    main()
