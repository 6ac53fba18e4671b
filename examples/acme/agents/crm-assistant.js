// The assistant of customer relations. It starts with customers only; billing rights come step by step.
// A model would choose the calls; here they are written down, so that every run is the same.
import { tell, work } from './desk.js';

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

await work('crm-assistant', {
    'read-customer': tell(readCustomer, stopped),
    'see-invoices': tell(seeInvoices, stopped),
    'refund-120': tell(refund(120), stopped),
    'refund-220': tell(refund(220), stopped),
    'note-refund': tell(noteRefund, stopped),
    'check-connection': tell(checkConnection, stopped),
    'pay-supplier': tell(paySupplier, stopped),
});
