// The assistant of customer relations. It starts with customers only; billing rights come step by step.
// A model would choose the calls; here they are written down, so that every run is the same.
import { tell, work } from './desk.js';
import { claims } from './mandate.js';

const INVOICE = 'INV-2041';
const stopped = (call) => `I could not: ${call.text}`;

async function readCustomer(desk) {
    const { customers } = await desk.use('crm', 'find_customers', { text: 'Lumière' });
    const { customer, notes } = await desk.use('crm', 'get_customer', { customer_id: customers[0].id });
    return `${customer.name} (${customer.id}) wrote: ${notes[0].text}`;
}

async function seeInvoices(desk) {
    const { invoices } = await desk.use('billing', 'list_invoices', { customer_id: 'C-1002' });
    return invoices.map((invoice) => `${invoice.id}: ${invoice.about}, ${invoice.amount} euros, ${invoice.status}`).join('; ');
}

function refund(amount) {
    return async (desk) => {
        const args = { invoice_id: INVOICE, amount, reason: 'second grinder arrived with a cracked hopper' };
        const { refund: booked, invoice } = await desk.use('billing', 'refund', args);
        return `refunded ${booked.amount} euros on ${invoice.id}, ${invoice.refunded} in all`;
    };
}

async function noteRefund(desk) {
    const { note } = await desk.use('crm', 'add_note', { customer_id: 'C-1002', text: 'Refunded 120 euros for the hopper.' });
    return `noted: ${note.text}`;
}

async function checkConnection(desk) {
    const { headers } = await desk.use('billing', 'connection_check', {});
    return `billing received ${headers.filter((line) => /^(authorization|dpop|chancery-intent):/.test(line)).join(', ')}`;
}

// No business of this agent: it was never given anything in procurement, and calls without looking at the list.
async function paySupplier(desk) {
    const { order } = await desk.call('procurement', 'pay_supplier', { order_id: 'PO-701', amount: 1200 });
    return `paid ${order.id}`;
}

// What it asks of a person: small refunds in their name, and nothing else of what that person may do.
const ASKED = [{ type: 'mcp_tool', server: 'billing', tools: ['refund'], constraints: { amount: { max: 60 } } }];
const CLERK = 'clerk-lyon';
let token;
let inMarasName;

async function askMara(desk) {
    const { user_code, verification_uri } = await (await desk.mandate()).ask('billing', ASKED);
    desk.book.kept.code = user_code;
    return `"please open ${new URL(verification_uri).pathname} and enter ${user_code}"`;
}

async function refundForMara(desk) {
    token ??= await (await desk.mandate()).granted();
    inMarasName ??= await desk.withToken('billing', token);
    desk.book.kept.session = claims(token).sid;
    const args = { invoice_id: 'INV-2045', amount: 40, reason: 'scratched table top' };
    const { refund: booked } = await inMarasName.use('billing', 'refund', args);
    return `refunded ${booked.amount} euros on ${booked.invoice_id}, in Mara's name`;
}

async function handOver(desk) {
    desk.book.kept.handed = await (await desk.mandate()).handOver(token, CLERK);
    return `handed over to ${CLERK}: nobody else can use it, and no system takes it as it is`;
}

await work('crm-assistant', {
    'read-customer': tell(readCustomer, stopped),
    'see-invoices': tell(seeInvoices, stopped),
    'refund-120': tell(refund(120), stopped),
    'refund-220': tell(refund(220), stopped),
    'note-refund': tell(noteRefund, stopped),
    'check-connection': tell(checkConnection, stopped),
    'pay-supplier': tell(paySupplier, stopped),
    'ask-mara': askMara,
    'refund-for-mara': tell(refundForMara, stopped),
    'hand-over': handOver,
});
