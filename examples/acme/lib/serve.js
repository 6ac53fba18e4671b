// Serves one system as an MCP server, over stdio or over Streamable HTTP, and asks for an API key on both.
//
//   node servers/crm.js                 stdio; the key comes in the environment variable ACME_API_KEY
//   node servers/crm.js --http 9101     Streamable HTTP on http://127.0.0.1:9101/mcp (0: any free port);
//                                       the key comes in `Authorization: Bearer KEY` with every request
//   node servers/crm.js --issue-key     makes a new API key and prints it, once
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { localhostHostValidation, localhostOriginValidation, toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { open } from './data.js';

const EXIT_NO_KEY = 78;

/** `system`: {name, title, instructions, seed(data), tools(data) -> [tool]}; see `tool` below. */
export function main(system) {
    const options = { http: { type: 'string' }, 'issue-key': { type: 'boolean', default: false } };
    const { values } = parseArgs({ options });
    const data = open(system.name, system.seed);
    if (values['issue-key']) {
        console.log(data.issueKey(system.name));
        data.close();
    } else if (values.http !== undefined) {
        serveHttp(system, data, Number(values.http));
    } else {
        serveLocal(system, data);
    }
}

/** One tool: its name and definition as MCP lists it, and `run(args, call)` returning the structured result. */
export function tool(name, definition, run) {
    return { name, definition, run };
}

/** An error the calling model should read: it asked for something that is not there or not possible. */
export class Refusal extends Error {}

function build(system, data) {
    const server = new McpServer(
        { name: `acme-${system.name}`, title: system.title, version: '1.0.0' },
        { instructions: system.instructions },
    );
    for (const { name, definition, run } of system.tools(data)) {
        server.registerTool(name, definition, (args, context) => answer(run, args, context));
    }
    return server;
}

function answer(run, args, context) {
    try {
        const result = run(args, { intent: intentOf(context), headers: context.http?.req?.headers });
        return { content: [{ type: 'text', text: JSON.stringify(result) }], structuredContent: result };
    } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        return { isError: true, content: [{ type: 'text', text: error.message }] };
    }
}

// The gateway names the log entry under which it let this call through; our books keep the name.
function intentOf(context) {
    return context.http?.req?.headers.get('chancery-intent') ?? context.mcpReq._meta?.['chancery/intent'] ?? null;
}

function serveLocal(system, data) {
    if (!data.knowsKey(process.env.ACME_API_KEY ?? '')) {
        console.error(`${system.name}: no valid API key in ACME_API_KEY`);
        process.exit(EXIT_NO_KEY);
    }
    serveStdio(() => build(system, data));
}

function serveHttp(system, data, port) {
    const handle = toNodeHandler(createMcpHandler(() => build(system, data)));
    const hostIsLocal = localhostHostValidation();
    const originIsLocal = localhostOriginValidation();
    const server = createServer((request, response) => {
        if (!hostIsLocal(request, response) || !originIsLocal(request, response)) return;
        const key = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
        if (!data.knowsKey(key)) return unauthorized(system, response);
        if (request.url !== '/mcp') return response.writeHead(404).end();
        handle(request, response);
    });
    server.listen(port, '127.0.0.1', () => {
        console.log(`${system.name}: listening on http://127.0.0.1:${server.address().port}/mcp`);
    });
}

function unauthorized(system, response) {
    response.writeHead(401, { 'content-type': 'application/json', 'www-authenticate': `Bearer realm="acme-${system.name}"` });
    response.end(JSON.stringify({ error: 'invalid_token', error_description: `${system.name} wants a valid API key` }));
}
