// What every JavaScript agent of ACME needs: its connections, and a desk where tasks arrive.
//
// An agent is an ordinary MCP client. It starts `chancery mcp bridge --as NAME --server SYSTEM` as its stdio server,
// as any MCP client would, and never sees a key of the system behind it.
//
// Tasks arrive as lines on standard input, some with a word for them to work on; each is answered with one line of JSON
// on standard output:
//   {"task": …, "said": what the agent tells its people, "calls": [{server, tool, outcome, text, code, decision}],
//    "kept": what a later step needs, by name}
// `outcome` is one of
//   allowed   the tool ran
//   failed    the tool ran and said no by itself (an order that does not exist …)
//   hidden    the agent asked for the list of tools and this one is not in it
//   denied    the policies said no
//   refused   the agent itself was turned away
import { createInterface } from 'node:readline';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { Mandate } from './mandate.js';

const DECISION = 'chancery/decision';

/** Runs the tasks of agent `name` until standard input ends. */
export async function work(name, tasks) {
    const desk = new Desk(name);
    for await (const line of createInterface({ input: process.stdin })) {
        const [task, given] = line.split(' ');
        if (task === '') continue;
        if (!(task in tasks)) throw new Error(`${name} has no task ${task}; it has ${Object.keys(tasks).join(', ')}`);
        Object.assign(desk.book, { calls: [], kept: {} });
        const said = await tasks[task](desk, given);
        console.log(JSON.stringify({ task, said, ...desk.book }));
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
    #mandate;
    /** What the task at hand did: `calls`, and `kept` for later steps. */
    book;

    constructor(name, book = { calls: [], kept: {} }) {
        this.#name = name;
        this.book = book;
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

    /** How it gets authority that is not its own. */
    async mandate() {
        this.#mandate ??= await Mandate.of(this.#name);
        return this.#mandate;
    }

    /** A desk whose calls to `server` carry this token instead of the agent's own. */
    async withToken(server, token) {
        const mandate = await this.mandate();
        const client = new Client({ name: this.#name, version: '1.0.0' });
        const url = new URL(mandate.resource(server));
        await client.connect(new StreamableHTTPClientTransport(url, { fetch: mandate.fetching(token) }));
        const other = new Desk(this.#name, this.book);
        other.#connections.set(server, client);
        return other;
    }

    async close() {
        await Promise.all([...this.#connections.values()].map((client) => client.close()));
    }

    async #note(server, tool, ask) {
        const { result, ...seen } = await this.#ask(server, ask);
        if (seen.outcome !== 'listed') this.book.calls.push({ server, tool, ...seen });
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
    const { message, data } = answered(error);
    const decision = data?.[DECISION] ?? data ?? {};
    const code = decision.code ?? /\bC\d{4}\b/.exec(message)?.[0];
    return { outcome: code?.startsWith('C1') || !code ? 'refused' : 'denied', text: message, code, decision: decision.id };
}

// A transport that was refused tells the whole answer in its message.
function answered(error) {
    try {
        return JSON.parse(error.message.slice(error.message.indexOf('{'))).error ?? error;
    } catch {
        return error;
    }
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
