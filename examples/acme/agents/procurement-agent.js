// The procurement agent: pays for what was received and orders what runs low.
import { tell, work } from './desk.js';

const stopped = (call) => `I could not: ${call.text}`;

async function payReceived(desk) {
    const { orders } = await desk.use('procurement', 'list_orders', { status: 'received' });
    const { id, amount } = orders[0];
    const { order } = await desk.use('procurement', 'pay_supplier', { order_id: id, amount });
    return `paid ${order.id}, ${order.amount} euros, to ${order.supplier_id}`;
}

function order(part_id, quantity, amount) {
    return async (desk) => {
        const { suppliers } = await desk.use('procurement', 'list_suppliers', {});
        const { id: supplier_id } = suppliers.find((supplier) => supplier.approved);
        const args = { supplier_id, part_id, quantity, amount };
        const { order: placed } = await desk.use('procurement', 'place_order', args);
        return `ordered ${placed.quantity} of ${placed.part_id} from ${placed.supplier_id} as ${placed.id} for ${placed.amount} euros`;
    };
}

await work('procurement-agent', {
    'pay-received': tell(payReceived, stopped),
    'order-burrs': tell(order('P-11', 60, 1800), stopped),
    'order-boards': tell(order('P-14', 500, 42_000), stopped),
});
