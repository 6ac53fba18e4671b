"""The supply chain agent, in Python: watches the warehouse and sets parts aside.

It keeps the same desk as the JavaScript agents (agents/desk.js): a task per line on standard input,
one line of JSON per task on standard output, and `chancery mcp bridge` as its MCP server.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

from mcp import Client, MCPError, StdioServerParameters

NAME = "supply-chain-agent"
DECISION = "chancery/decision"


class Stopped(Exception):
    """A call had any other outcome than `allowed`."""


class Desk:
    """The connections of the agent, and what became of its calls."""

    def __init__(self, stack):
        self.stack = stack
        self.clients = {}
        self.calls = []

    async def use(self, server, tool, args):
        """Looks the tool up in the list, then calls it; returns its structured result."""
        call = await self.ask(server, tool, args)
        self.calls.append({"server": server, "tool": tool, **{k: v for k, v in call.items() if k != "result"}})
        if call["outcome"] != "allowed":
            raise Stopped(call["text"])
        return call["result"]

    async def ask(self, server, tool, args):
        try:
            client = await self.client(server)
            tools = (await client.list_tools()).tools
            if tool not in [known.name for known in tools]:
                return {"outcome": "hidden", "text": f"{tool} is not among the {len(tools)} tools {server} shows me"}
            return judge(await client.call_tool(tool, args))
        except MCPError as error:
            return {"outcome": "refused", "text": error.message}

    async def client(self, server):
        if server not in self.clients:
            bridge = StdioServerParameters(
                command=os.environ.get("CHANCERY", "chancery"),
                args=["mcp", "bridge", "--as", NAME, "--server", server],
                env={k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("CHANCERY_")},
            )
            self.clients[server] = await self.stack.enter_async_context(Client(bridge))
        return self.clients[server]


def judge(result):
    text = "\n".join(getattr(part, "text", "") for part in result.content)
    if not result.is_error:
        return {"outcome": "allowed", "text": text, "result": result.structured_content}
    decision = (result.meta or {}).get(DECISION, {})
    outcome = "denied" if "code" in decision else "failed"
    return {"outcome": outcome, "text": text, "code": decision.get("code"), "decision": decision.get("id")}


async def check_stock(desk):
    low = (await desk.use("supply-chain", "list_stock", {"only_low": True}))["parts"]
    return "running low: " + ", ".join(f"{part['id']} {part['name']} ({part['on_hand']} left)" for part in low)


async def reserve_boards(desk):
    part = (await desk.use("supply-chain", "reserve_stock", {"part_id": "P-14", "quantity": 3}))["part"]
    return f"set 3 of {part['id']} aside, {part['reserved']} reserved in all"


async def move_eta(desk):
    args = {"shipment_id": "SH-51", "eta": "2026-12-24"}
    shipment = (await desk.use("supply-chain", "move_eta", args))["shipment"]
    return f"{shipment['id']} now arrives {shipment['eta']}"


TASKS = {"check-stock": check_stock, "reserve-boards": reserve_boards, "move-eta": move_eta}


async def main():
    async with AsyncExitStack() as stack:
        desk = Desk(stack)
        while task := (await asyncio.to_thread(sys.stdin.readline)).strip():
            desk.calls = []
            try:
                said = await TASKS[task](desk)
            except Stopped as stopped:
                said = f"I could not: {stopped}"
            print(json.dumps({"task": task, "said": said, "calls": desk.calls}), flush=True)


asyncio.run(main())
