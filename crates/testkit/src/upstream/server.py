"""A small MCP server on standard input and output, for tests: python3 server.py TOOLS_FILE SEEN_FILE"""

import json
import os
import sys

tools = json.load(open(sys.argv[1]))
seen = open(sys.argv[2], "a")


def called(params):
    args = params.get("arguments") or {}
    name = params.get("name")
    if name == "echo":
        text = args.get("text", "")
    elif name == "add":
        text = str(args.get("a", 0) + args.get("b", 0))
    elif name == "refund":
        text = f"refunded {args.get('amount')} on {args.get('order')}"
    elif name == "headers":
        text = json.dumps(dict(os.environ))
    else:
        return {"isError": True, "content": [{"type": "text", "text": "it did not work"}]}
    return {"content": [{"type": "text", "text": text}]}


def result(message, params):
    method = message.get("method")
    info = {"name": "recording-stdio", "version": "1"}
    if method == "initialize":
        return {"protocolVersion": params.get("protocolVersion"), "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": tools}
    if method == "tools/call":
        return called(params)
    if method == "ping":
        return {}
    return None


for line in sys.stdin:
    message = json.loads(line)
    seen.write(json.dumps({"pid": os.getpid(), "env": sorted(os.environ), "message": message}) + "\n")
    seen.flush()
    if "id" not in message or "method" not in message:
        continue
    params = message.get("params") or {}
    stateless = (params.get("_meta") or {}).get("io.modelcontextprotocol/protocolVersion") == "2026-07-28"
    value = result(message, params)
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if value is None:
        answer["error"] = {"code": -32601, "message": "no such method"}
    else:
        if stateless:
            value["resultType"] = "complete"
            if message["method"] in ("tools/list", "server/discover"):
                value.update(ttlMs=0, cacheScope="private")
        answer["result"] = value
    print(json.dumps(answer), flush=True)
