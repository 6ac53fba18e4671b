// The customer relations system: who our customers are, and what was agreed with them.
import { z } from 'zod';
import { main, Refusal, tool } from '../lib/serve.js';

const customerId = z.string().regex(/^C-\d{4}$/).describe('Customer number, for example C-1002');
const customer = z.object({
    id: customerId,
    name: z.string(),
    city: z.string(),
    contact: z.string(),
    email: z.string(),
    tier: z.enum(['standard', 'key']),
});
const note = z.object({ id: z.int(), text: z.string(), intent: z.string().nullable() });

const CUSTOMERS = [
    ['C-1001', 'Brandt Logistics', 'Hamburg', 'Jonas Brandt', 'jonas@brandt.example', 'key'],
    ['C-1002', 'Café Lumière', 'Lyon', 'Inès Moreau', 'ines@lumiere.example', 'standard'],
    ['C-1003', 'Nordlys Dental', 'Oslo', 'Kari Lunde', 'kari@nordlys.example', 'standard'],
    ['C-1004', 'Ostrava Castings', 'Ostrava', 'Petr Novák', 'petr@ostrava.example', 'key'],
    ['C-1005', 'Tessera Studio', 'Milano', 'Giulia Ricci', 'giulia@tessera.example', 'standard'],
    ['C-1006', 'Vega Robotics', 'Eindhoven', 'Sanne de Wit', 'sanne@vega.example', 'key'],
];
const NOTES = [
    [1, 'C-1002', 'Second grinder arrived with a cracked hopper; asks for money back.', null],
    [2, 'C-1004', 'Wants all invoices in one PDF per month.', null],
];

function seed(data) {
    data.exec(`
        CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT, city TEXT, contact TEXT, email TEXT, tier TEXT);
        CREATE TABLE notes (id INTEGER PRIMARY KEY, customer_id TEXT REFERENCES customers, text TEXT, intent TEXT);
    `);
    data.fill('customers', CUSTOMERS);
    data.fill('notes', NOTES);
}

function existing(data, id) {
    const row = data.get('SELECT * FROM customers WHERE id = ?', [id]);
    if (!row) throw new Refusal(`there is no customer ${id}; search with find_customers`);
    return row;
}

function notesOf(data, id) {
    return data.all('SELECT id, text, intent FROM notes WHERE customer_id = ? ORDER BY id', [id]);
}

function tools(data) {
    return [
        tool('find_customers', {
            title: 'Find customers',
            description: 'Finds customers whose name, city or contact contains the text.',
            inputSchema: z.object({ text: z.string().max(100), limit: z.int().min(1).max(50).default(10) }),
            outputSchema: z.object({ customers: z.array(customer) }),
            annotations: { readOnlyHint: true },
        }, ({ text, limit }) => ({
            customers: data.all(
                `SELECT * FROM customers WHERE instr(lower(name || ' ' || city || ' ' || contact), lower(?)) ORDER BY id LIMIT ?`,
                [text, limit],
            ),
        })),
        tool('get_customer', {
            title: 'Read one customer',
            description: 'Everything kept about one customer, with the notes.',
            inputSchema: z.object({ customer_id: customerId }),
            outputSchema: z.object({ customer, notes: z.array(note) }),
            annotations: { readOnlyHint: true },
        }, ({ customer_id }) => ({ customer: existing(data, customer_id), notes: notesOf(data, customer_id) })),
        tool('add_note', {
            title: 'Add a note',
            description: 'Adds a note to a customer. Notes are never changed or removed.',
            inputSchema: z.object({ customer_id: customerId, text: z.string().min(1).max(500) }),
            outputSchema: z.object({ note }),
            annotations: { readOnlyHint: false, destructiveHint: false },
        }, ({ customer_id, text }, { intent }) => {
            existing(data, customer_id);
            data.run('INSERT INTO notes (customer_id, text, intent) VALUES (?, ?, ?)', [customer_id, text, intent]);
            return { note: notesOf(data, customer_id).at(-1) };
        }),
        tool('update_email', {
            title: 'Change the e-mail address',
            description: 'Replaces the e-mail address of a customer.',
            inputSchema: z.object({ customer_id: customerId, email: z.email() }),
            outputSchema: z.object({ customer }),
            annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
        }, ({ customer_id, email }) => {
            existing(data, customer_id);
            data.run('UPDATE customers SET email = ? WHERE id = ?', [email, customer_id]);
            return { customer: existing(data, customer_id) };
        }),
    ];
}

main({
    name: 'crm',
    title: 'ACME customer relations',
    instructions: 'Customers and notes about them. Customer numbers look like C-1002.',
    seed,
    tools,
});
