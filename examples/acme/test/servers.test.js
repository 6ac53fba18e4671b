// The four systems by themselves, through the official client, over both transports.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const EXPECTED_TOOLS = {
    crm: ['add_note', 'find_customers', 'get_customer', 'update_email'],
    billing: ['connection_check', 'get_invoice', 'list_invoices', 'refund', 'write_off'],
    procurement: ['list_orders', 'list_suppliers', 'pay_supplier', 'place_order'],
    'supply-chain': ['list_shipments', 'list_stock', 'move_eta', 'reserve_stock'],
};

const scratch = mkdtempSync(join(tmpdir(), 'acme-test-'));
const running = [];
after(async () => {
    for (const child of running) child.kill();
    await Promise.all(running.filter((child) => child.exitCode === null && child.signalCode === null).map((child) => once(child, 'exit')));
    rmSync(scratch, { recursive: true, force: true });
});

function environment(data, extra = {}) {
    return { PATH: process.env.PATH, ACME_DATA: join(scratch, data), ...extra };
}

function script(system) {
    return join(ROOT, 'servers', `${system}.js`);
}

function issueKey(system, data) {
    return execFileSync(process.execPath, [script(system), '--issue-key'], { env: environment(data), encoding: 'utf8' }).trim();
}

async function listen(system, data) {
    const child = spawn(process.execPath, [script(system), '--http', '0'], { env: environment(data), stdio: ['ignore', 'pipe', 'inherit'] });
    running.push(child);
    const [line] = await once(createInterface(child.stdout), 'line');
    return new URL(line.slice(line.indexOf('http://')));
}

async function overStdio(system, data, mode) {
    const client = new Client({ name: 'acme-test', version: '1.0.0' }, { versionNegotiation: { mode } });
    const env = environment(data, { ACME_API_KEY: issueKey(system, data) });
    await client.connect(new StdioClientTransport({ command: process.execPath, args: [script(system)], env }));
    return client;
}

async function overHttp(system, data, mode) {
    const client = new Client({ name: 'acme-test', version: '1.0.0' }, { versionNegotiation: { mode } });
    const headers = { Authorization: `Bearer ${issueKey(system, data)}` };
    const url = await listen(system, data);
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
    return client;
}

const TRANSPORTS = { stdio: overStdio, http: overHttp };
const WIRES = { '2025-11-25': 'legacy', '2026-07-28': { pin: '2026-07-28' } };

for (const [transport, connect] of Object.entries(TRANSPORTS)) {
    for (const [wire, mode] of Object.entries(WIRES)) {
        describe(`${transport}, revision ${wire}`, () => {
            for (const [system, expected] of Object.entries(EXPECTED_TOOLS)) {
                it(`${system} lists its tools with schemas and hints`, async () => {
                    const client = await connect(system, `list-${transport}-${wire}`, mode);
                    const { tools } = await client.listTools();
                    assert.deepEqual(tools.map((tool) => tool.name).sort(), expected);
                    for (const tool of tools) {
                        assert.equal(tool.inputSchema.type, 'object', tool.name);
                        assert.equal(typeof tool.annotations.readOnlyHint, 'boolean', tool.name);
                    }
                    await client.close();
                });
            }

            it('a refund is booked once, bounded by the invoice, and answered as data', async () => {
                const client = await connect('billing', `refund-${transport}-${wire}`, mode);
                const call = (amount) => client.callTool({ name: 'refund', arguments: { invoice_id: 'INV-2041', amount, reason: 'cracked hopper' } });
                const booked = await call(120);
                assert.equal(booked.structuredContent.invoice.refunded, 120);
                const over = await call(221);
                assert.equal(over.isError, true);
                assert.match(over.content[0].text, /220 euros left/);
                const broken = await client.callTool({ name: 'refund', arguments: { invoice_id: 'INV-2041', amount: 1.5, reason: 'half' } });
                assert.equal(broken.isError, true);
                const { structuredContent } = await client.callTool({ name: 'get_invoice', arguments: { invoice_id: 'INV-2041' } });
                assert.deepEqual(structuredContent.refunds.map((refund) => refund.amount), [120]);
                await client.close();
            });
        });
    }
}

describe('API keys', () => {
    it('stdio without a valid key ends at once', () => {
        for (const env of [environment('keys'), environment('keys', { ACME_API_KEY: 'acme-crm-guessed' })]) {
            const { status, stderr } = spawnSync(process.execPath, [script('crm')], { env, encoding: 'utf8', timeout: 20_000 });
            assert.equal(status, 78);
            assert.match(stderr, /no valid API key/);
        }
    });

    it('HTTP without a valid key is 401, with a key of another system too', async () => {
        const url = await listen('billing', 'keys');
        const foreign = issueKey('crm', 'keys');
        for (const headers of [{}, { authorization: 'Bearer guessed' }, { authorization: `Bearer ${foreign}` }]) {
            const response = await fetch(url, { method: 'POST', headers, body: '{}' });
            assert.equal(response.status, 401);
        }
    });

    it('a page of another origin or another host name is refused', async () => {
        const url = await listen('billing', 'keys');
        const headers = { authorization: `Bearer ${issueKey('billing', 'keys')}`, origin: 'https://evil.example' };
        assert.equal((await fetch(url, { method: 'POST', headers, body: '{}' })).status, 403);
    });
});

describe('data', () => {
    it('is the same for everybody who starts afresh', async () => {
        const seen = [];
        for (const data of ['seed-a', 'seed-b']) {
            const client = await overStdio('crm', data, 'legacy');
            seen.push((await client.callTool({ name: 'find_customers', arguments: { text: '', limit: 50 } })).structuredContent);
            await client.close();
        }
        assert.deepEqual(seen[0], seen[1]);
        assert.equal(seen[0].customers.length, 6);
    });

    it('is shared by several processes without a lost or doubled write', async () => {
        const clients = await Promise.all([1, 2, 3].map(() => overStdio('supply-chain', 'shared', 'legacy')));
        const reserve = (client) => client.callTool({ name: 'reserve_stock', arguments: { part_id: 'P-13', quantity: 1 } });
        await Promise.all(clients.flatMap((client) => [reserve(client), reserve(client), reserve(client), reserve(client)]));
        const { structuredContent } = await clients[0].callTool({ name: 'list_stock', arguments: {} });
        assert.equal(structuredContent.parts.find((part) => part.id === 'P-13').reserved, 12);
        await Promise.all(clients.map((client) => client.close()));
    });
});
