// A refund clerk: one of many instances of a blueprint. It has no authority of its own; it books what it is handed,
// within what it takes over.
import { claims } from './mandate.js';
import { tell, work } from './desk.js';

const NAME = process.argv[2];
const INVOICE = 'INV-2045';
// Less than it was handed: one invoice, and up to 50 euros at a time.
const TAKEN = [{
    type: 'mcp_tool', server: 'billing', tools: ['refund'],
    constraints: { invoice_id: { one_of: [INVOICE] }, amount: { max: 50 } },
}];
const stopped = (call) => `I could not: ${call.text}`;
let inMarasName;

function chain({ act }) {
    return act ? 1 + chain(act) : 0;
}

async function takeOver(desk, handed) {
    const token = await (await desk.mandate()).takeOver(handed, 'billing', TAKEN, 'complaint 151');
    inMarasName = await desk.withToken('billing', token);
    return `took it over for complaint 151: up to 50 euros, on ${INVOICE} alone; ${chain(claims(token))} agents in the chain`;
}

function refund(amount) {
    return async (desk) => {
        const args = { invoice_id: INVOICE, amount, reason: 'scratched table top' };
        const { refund: booked, invoice } = await inMarasName.use('billing', 'refund', args);
        desk.book.kept.intent = booked.intent;
        return `refunded ${booked.amount} euros on ${invoice.id}, ${invoice.refunded} in all`;
    };
}

await work(NAME, {
    'take-over': takeOver,
    'refund-45': tell(refund(45), stopped),
    'refund-55': tell(refund(55), stopped),
    'refund-15': tell(refund(15), stopped),
});
