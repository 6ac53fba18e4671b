// What every JavaScript agent of ACME needs: its connections, and a desk where tasks arrive.
//
// An agent is an ordinary MCP client. It starts `chancery mcp bridge --as NAME --server SYSTEM` as its stdio server,
// as any MCP client would, and never sees a key of the system behind it.
//
// Tasks arrive as lines on standard input; each is answered with one line of JSON on standard output:
//   {"task": …, "said": what the agent tells its people, "calls": [{server, tool, outcome, text, code, decision}]}
// `outcome` is one of
//   allowed   the tool ran
//   failed    the tool ran and said no by itself (an order that does not exist …)
//   hidden    the agent asked for the list of tools and this one is not in it
//   denied    the policies said no
//   refused   the agent itself was turned away
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const DECISION = 'chancery/decision';

/** Runs the tasks of agent `name` until standard input ends. */
export async function work(name, tasks) {
    const desk = new Desk(name);
    for await (const task of createInterface({ input: process.stdin })) {
        if (task === '') continue;
        if (!(task in tasks)) throw new Error(`${name} has no task ${task}; it has ${Object.keys(tasks).join(', ')}`);
        desk.calls = [];
        const said = await tasks[task](desk);
        console.log(JSON.stringify({ task, said, calls: desk.calls }));
    }
    await desk.close();
}

/** Thrown where a call had any other outcome than `allowed`, so that a task reads as if all went well. */
export class Stopped extends Error {
    constructor(call) {
        super(call.text);
        this.call = call;
    }
}

class Desk {
    #name;
    #connections = new Map();
    calls = [];

    constructor(name) {
        this.#name = name;
    }

    /** Looks the tool up in the list, then calls it; returns its structured result. */
    async use(server, tool, args) {
        const listed = await this.#note(server, tool, async (client) => {
            const { tools } = await client.listTools(undefined, { cacheMode: 'refresh' });
            if (tools.some((known) => known.name === tool)) return { outcome: 'listed' };
            return { outcome: 'hidden', text: `${tool} is not among the ${tools.length} tools ${server} shows me` };
        });
        if (listed.outcome !== 'listed') throw new Stopped(listed);
        return this.call(server, tool, args);
    }

    /** Calls the tool without looking whether it is listed; returns its structured result. */
    async call(server, tool, args) {
        const call = await this.#note(server, tool, async (client) => judge(await client.callTool({ name: tool, arguments: args })));
        if (call.outcome !== 'allowed') throw new Stopped(call);
        return call.result;
    }

    async close() {
        await Promise.all([...this.#connections.values()].map((client) => client.close()));
    }

    async #note(server, tool, ask) {
        const { result, ...seen } = await this.#ask(server, ask);
        if (seen.outcome !== 'listed') this.calls.push({ server, tool, ...seen });
        return { server, tool, result, ...seen };
    }

    async #ask(server, ask) {
        try {
            return await ask(await this.#connection(server));
        } catch (error) {
            return turnedAway(error);
        }
    }

    async #connection(server) {
        const open = this.#connections.get(server);
        if (open) return open;
        const client = new Client({ name: this.#name, version: '1.0.0' });
        const args = ['mcp', 'bridge', '--as', this.#name, '--server', server];
        await client.connect(new StdioClientTransport({ command: process.env.CHANCERY ?? 'chancery', args, env: inherited() }));
        this.#connections.set(server, client);
        return client;
    }
}

function inherited() {
    const wanted = ([name]) => name === 'PATH' || name === 'HOME' || name.startsWith('CHANCERY_');
    return Object.fromEntries(Object.entries(process.env).filter(wanted));
}

function judge({ isError, content, structuredContent, _meta }) {
    const text = content?.map((part) => part.text ?? '').join('\n') ?? '';
    if (!isError) return { outcome: 'allowed', text, result: structuredContent };
    const { code, id } = _meta?.[DECISION] ?? {};
    return { outcome: code ? 'denied' : 'failed', text, code, decision: id };
}

function turnedAway(error) {
    const decision = error.data?.[DECISION] ?? error.data ?? {};
    const code = decision.code ?? /\bC\d{4}\b/.exec(error.message)?.[0];
    return { outcome: code?.startsWith('C1') || !code ? 'refused' : 'denied', text: error.message, code, decision: decision.id };
}

/** Wraps a task so that being stopped is told instead of thrown. */
export function tell(task, whenStopped) {
    return async (desk) => {
        try {
            return await task(desk);
        } catch (error) {
            if (!(error instanceof Stopped)) throw error;
            return whenStopped(error.call);
        }
    };
}
