// The supply chain system: what is in the warehouse, and what is on its way.
import { z } from 'zod';
import { main, Refusal, tool } from '../lib/serve.js';

const partId = z.string().regex(/^P-\d{2}$/).describe('Part number, for example P-11');
const shipmentId = z.string().regex(/^SH-\d{2}$/).describe('Shipment number, for example SH-51');
const day = z.string().regex(/^\d{4}-\d{2}-\d{2}$/).describe('Date as YYYY-MM-DD');
const part = z.object({ id: partId, name: z.string(), on_hand: z.int(), reserved: z.int(), reorder_at: z.int() });
const shipment = z.object({
    id: shipmentId,
    part_id: partId,
    quantity: z.int(),
    eta: day,
    status: z.enum(['under_way', 'arrived']),
});

const PARTS = [
    ['P-11', 'Burr set 64 mm', 12, 4, 30],
    ['P-12', 'Hopper, polycarbonate', 85, 10, 40],
    ['P-13', 'Drive belt', 240, 0, 100],
    ['P-14', 'Control board rev. 3', 7, 2, 20],
];
const SHIPMENTS = [
    ['SH-51', 'P-12', 200, '2026-12-02', 'under_way'],
    ['SH-52', 'P-13', 300, '2026-11-20', 'arrived'],
];

function seed(data) {
    data.exec(`
        CREATE TABLE parts (id TEXT PRIMARY KEY, name TEXT, on_hand INTEGER, reserved INTEGER, reorder_at INTEGER);
        CREATE TABLE shipments (id TEXT PRIMARY KEY, part_id TEXT REFERENCES parts, quantity INTEGER, eta TEXT, status TEXT);
    `);
    data.fill('parts', PARTS);
    data.fill('shipments', SHIPMENTS);
}

function partOf(data, id) {
    const row = data.get('SELECT * FROM parts WHERE id = ?', [id]);
    if (!row) throw new Refusal(`there is no part ${id}; look with list_stock`);
    return row;
}

function reserve(data, { part_id, quantity }) {
    return data.transaction(() => {
        const { on_hand, reserved } = partOf(data, part_id);
        const free = on_hand - reserved;
        if (quantity > free) throw new Refusal(`${part_id} has ${free} pieces free, not ${quantity}`);
        data.run('UPDATE parts SET reserved = reserved + ? WHERE id = ?', [quantity, part_id]);
        return { part: partOf(data, part_id) };
    });
}

function tools(data) {
    return [
        tool('list_stock', {
            title: 'List stock',
            description: 'Parts with what is on hand and what is reserved; on request only those to reorder.',
            inputSchema: z.object({ only_low: z.boolean().default(false) }),
            outputSchema: z.object({ parts: z.array(part) }),
            annotations: { readOnlyHint: true },
        }, ({ only_low }) => ({
            parts: data.all('SELECT * FROM parts WHERE NOT ? OR on_hand - reserved < reorder_at ORDER BY id', [only_low ? 1 : 0]),
        })),
        tool('list_shipments', {
            title: 'List shipments',
            description: 'Shipments on their way or arrived.',
            inputSchema: z.object({}),
            outputSchema: z.object({ shipments: z.array(shipment) }),
            annotations: { readOnlyHint: true },
        }, () => ({ shipments: data.all('SELECT * FROM shipments ORDER BY id') })),
        tool('reserve_stock', {
            title: 'Reserve stock',
            description: 'Sets pieces of a part aside for an order.',
            inputSchema: z.object({ part_id: partId, quantity: z.int().min(1).max(10_000) }),
            outputSchema: z.object({ part }),
            annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
        }, (args) => reserve(data, args)),
        tool('move_eta', {
            title: 'Move the arrival date',
            description: 'Changes the expected arrival of a shipment under way.',
            inputSchema: z.object({ shipment_id: shipmentId, eta: day }),
            outputSchema: z.object({ shipment }),
            annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
        }, ({ shipment_id, eta }) => {
            const { changes } = data.run(`UPDATE shipments SET eta = ? WHERE id = ? AND status = 'under_way'`, [eta, shipment_id]);
            if (changes === 0) throw new Refusal(`no shipment ${shipment_id} is under way`);
            return { shipment: data.get('SELECT * FROM shipments WHERE id = ?', [shipment_id]) };
        }),
    ];
}

main({
    name: 'supply-chain',
    title: 'ACME supply chain',
    instructions: 'Warehouse stock and shipments. Part numbers look like P-11.',
    seed,
    tools,
});
