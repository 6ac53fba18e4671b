// The billing system: invoices, and money that goes back to customers. Amounts are whole euros.
import { z } from 'zod';
import { main, Refusal, tool } from '../lib/serve.js';

const customerId = z.string().regex(/^C-\d{4}$/).describe('Customer number, for example C-1002');
const invoiceId = z.string().regex(/^INV-\d{4}$/).describe('Invoice number, for example INV-2041');
const euros = z.int().min(1).max(1_000_000).describe('Whole euros');
const invoice = z.object({
    id: invoiceId,
    customer_id: customerId,
    about: z.string(),
    amount: z.int(),
    status: z.enum(['open', 'paid', 'written_off']),
    refunded: z.int(),
});
const refund = z.object({
    id: z.int(),
    invoice_id: invoiceId,
    amount: z.int(),
    reason: z.string(),
    intent: z.string().nullable(),
});

const INVOICES = [
    ['INV-2040', 'C-1001', 'Pallet sensors, 40 pieces', 5200, 'paid'],
    ['INV-2041', 'C-1002', 'Espresso grinder, 2 pieces', 340, 'paid'],
    ['INV-2042', 'C-1002', 'Service visit', 95, 'open'],
    ['INV-2043', 'C-1003', 'Compressor filters', 260, 'paid'],
    ['INV-2044', 'C-1004', 'Casting moulds', 18400, 'open'],
    ['INV-2045', 'C-1005', 'Light table', 780, 'paid'],
    ['INV-2046', 'C-1006', 'Servo motors, 12 pieces', 6960, 'paid'],
];
const SELECT = `SELECT id, customer_id, about, amount, status,
    (SELECT coalesce(sum(r.amount), 0) FROM refunds r WHERE r.invoice_id = invoices.id) AS refunded FROM invoices`;

function seed(data) {
    data.exec(`
        CREATE TABLE invoices (id TEXT PRIMARY KEY, customer_id TEXT, about TEXT, amount INTEGER, status TEXT);
        CREATE TABLE refunds (id INTEGER PRIMARY KEY, invoice_id TEXT REFERENCES invoices, amount INTEGER, reason TEXT, intent TEXT);
    `);
    data.fill('invoices', INVOICES);
}

function existing(data, id) {
    const row = data.get(`${SELECT} WHERE id = ?`, [id]);
    if (!row) throw new Refusal(`there is no invoice ${id}; look with list_invoices`);
    return row;
}

function pay(data, { invoice_id, amount, reason }, intent) {
    return data.transaction(() => {
        const { status, amount: total, refunded } = existing(data, invoice_id);
        if (status !== 'paid') throw new Refusal(`${invoice_id} is ${status}; only a paid invoice can be refunded`);
        const left = total - refunded;
        if (amount > left) throw new Refusal(`${invoice_id} has ${left} euros left to refund, not ${amount}`);
        data.run('INSERT INTO refunds (invoice_id, amount, reason, intent) VALUES (?, ?, ?, ?)', [invoice_id, amount, reason, intent]);
        return { refund: data.get('SELECT * FROM refunds ORDER BY id DESC LIMIT 1'), invoice: existing(data, invoice_id) };
    });
}

function tools(data) {
    return [
        tool('list_invoices', {
            title: 'List invoices',
            description: 'The invoices of one customer, oldest first.',
            inputSchema: z.object({ customer_id: customerId, status: z.enum(['open', 'paid', 'written_off']).optional() }),
            outputSchema: z.object({ invoices: z.array(invoice) }),
            annotations: { readOnlyHint: true },
        }, ({ customer_id, status }) => ({
            invoices: data.all(`${SELECT} WHERE customer_id = ? AND (? IS NULL OR status = ?) ORDER BY id`, [
                customer_id, status ?? null, status ?? null,
            ]),
        })),
        tool('get_invoice', {
            title: 'Read one invoice',
            description: 'One invoice with its refunds.',
            inputSchema: z.object({ invoice_id: invoiceId }),
            outputSchema: z.object({ invoice, refunds: z.array(refund) }),
            annotations: { readOnlyHint: true },
        }, ({ invoice_id }) => ({
            invoice: existing(data, invoice_id),
            refunds: data.all('SELECT * FROM refunds WHERE invoice_id = ? ORDER BY id', [invoice_id]),
        })),
        tool('refund', {
            title: 'Refund a customer',
            description: 'Pays money back on a paid invoice, up to what is left of it.',
            inputSchema: z.object({ invoice_id: invoiceId, amount: euros, reason: z.string().min(3).max(200) }),
            outputSchema: z.object({ refund, invoice }),
            annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
        }, (args, { intent }) => pay(data, args, intent)),
        tool('write_off', {
            title: 'Write an invoice off',
            description: 'Gives up an open invoice for good.',
            inputSchema: z.object({ invoice_id: invoiceId, reason: z.string().min(3).max(200) }),
            outputSchema: z.object({ invoice }),
            annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
        }, ({ invoice_id }) => {
            if (existing(data, invoice_id).status === 'paid') throw new Refusal(`${invoice_id} is paid`);
            data.run(`UPDATE invoices SET status = 'written_off' WHERE id = ?`, [invoice_id]);
            return { invoice: existing(data, invoice_id) };
        }),
        tool('connection_check', {
            title: 'How this connection is seen',
            description: 'Reports the request headers this system received, as support desks ask for them.',
            inputSchema: z.object({}),
            outputSchema: z.object({ headers: z.array(z.string()) }),
            annotations: { readOnlyHint: true },
        }, (_args, { headers }) => ({ headers: [...(headers ?? [])].map(([name, value]) => `${name}: ${value}`) })),
    ];
}

main({
    name: 'billing',
    title: 'ACME billing',
    instructions: 'Invoices and refunds in whole euros. Invoice numbers look like INV-2041.',
    seed,
    tools,
});
