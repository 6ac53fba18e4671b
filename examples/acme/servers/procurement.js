// The procurement system: suppliers, purchase orders, and paying for them. Amounts are whole euros.
import { z } from 'zod';
import { main, Refusal, tool } from '../lib/serve.js';

const supplierId = z.string().regex(/^S-\d{3}$/).describe('Supplier number, for example S-300');
const orderId = z.string().regex(/^PO-\d{3}$/).describe('Purchase order number, for example PO-701');
const partId = z.string().regex(/^P-\d{2}$/).describe('Part number, for example P-11');
const supplier = z.object({ id: supplierId, name: z.string(), iban: z.string(), approved: z.boolean() });
const order = z.object({
    id: orderId,
    supplier_id: supplierId,
    part_id: partId,
    quantity: z.int(),
    amount: z.int(),
    status: z.enum(['placed', 'received', 'paid']),
    intent: z.string().nullable(),
});

const SUPPLIERS = [
    ['S-300', 'Kessel Metallwaren', 'DE02120300000000202051', 1],
    ['S-301', 'Lombard Ceramics', 'IT60X0542811101000000123456', 1],
    ['S-302', 'Quickparts Trading', 'CY17002001280000001200527600', 0],
];
const ORDERS = [
    ['PO-701', 'S-300', 'P-11', 40, 1200, 'received', null],
    ['PO-702', 'S-301', 'P-12', 200, 900, 'placed', null],
];

function seed(data) {
    data.exec(`
        CREATE TABLE suppliers (id TEXT PRIMARY KEY, name TEXT, iban TEXT, approved INTEGER);
        CREATE TABLE orders (id TEXT PRIMARY KEY, supplier_id TEXT REFERENCES suppliers, part_id TEXT,
            quantity INTEGER, amount INTEGER, status TEXT, intent TEXT);
    `);
    data.fill('suppliers', SUPPLIERS);
    data.fill('orders', ORDERS);
}

function orderOf(data, id) {
    const row = data.get('SELECT * FROM orders WHERE id = ?', [id]);
    if (!row) throw new Refusal(`there is no purchase order ${id}; look with list_orders`);
    return row;
}

function place(data, { supplier_id, part_id, quantity, amount }, intent) {
    return data.transaction(() => {
        const found = data.get('SELECT * FROM suppliers WHERE id = ?', [supplier_id]);
        if (!found) throw new Refusal(`there is no supplier ${supplier_id}; look with list_suppliers`);
        if (!found.approved) throw new Refusal(`${found.name} is not an approved supplier`);
        const last = data.get('SELECT max(id) AS id FROM orders').id;
        const id = `PO-${Number(last.slice(3)) + 1}`;
        data.run('INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)', [id, supplier_id, part_id, quantity, amount, 'placed', intent]);
        return { order: orderOf(data, id) };
    });
}

function pay(data, { order_id, amount }, intent) {
    return data.transaction(() => {
        const found = orderOf(data, order_id);
        if (found.status !== 'received') throw new Refusal(`${order_id} is ${found.status}; only a received order can be paid`);
        if (found.amount !== amount) throw new Refusal(`${order_id} is over ${found.amount} euros, not ${amount}`);
        data.run(`UPDATE orders SET status = 'paid', intent = ? WHERE id = ?`, [intent, order_id]);
        return { order: orderOf(data, order_id) };
    });
}

function tools(data) {
    return [
        tool('list_suppliers', {
            title: 'List suppliers',
            description: 'All suppliers, with their bank account and whether they are approved.',
            inputSchema: z.object({}),
            outputSchema: z.object({ suppliers: z.array(supplier) }),
            annotations: { readOnlyHint: true },
        }, () => ({
            suppliers: data.all('SELECT * FROM suppliers ORDER BY id').map((row) => ({ ...row, approved: row.approved === 1 })),
        })),
        tool('list_orders', {
            title: 'List purchase orders',
            description: 'Purchase orders, oldest first.',
            inputSchema: z.object({ status: z.enum(['placed', 'received', 'paid']).optional() }),
            outputSchema: z.object({ orders: z.array(order) }),
            annotations: { readOnlyHint: true },
        }, ({ status }) => ({
            orders: data.all('SELECT * FROM orders WHERE ? IS NULL OR status = ? ORDER BY id', [status ?? null, status ?? null]),
        })),
        tool('place_order', {
            title: 'Place a purchase order',
            description: 'Orders parts from an approved supplier.',
            inputSchema: z.object({
                supplier_id: supplierId,
                part_id: partId,
                quantity: z.int().min(1).max(100_000),
                amount: z.int().min(1).max(1_000_000).describe('Whole euros, for the whole order'),
            }),
            outputSchema: z.object({ order }),
            annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
        }, (args, { intent }) => place(data, args, intent)),
        tool('pay_supplier', {
            title: 'Pay a supplier',
            description: 'Pays a purchase order whose goods were received, in full.',
            inputSchema: z.object({ order_id: orderId, amount: z.int().min(1).max(1_000_000).describe('Whole euros') }),
            outputSchema: z.object({ order }),
            annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
        }, (args, { intent }) => pay(data, args, intent)),
    ];
}

main({
    name: 'procurement',
    title: 'ACME procurement',
    instructions: 'Suppliers, purchase orders and their payment, in whole euros.',
    seed,
    tools,
});
