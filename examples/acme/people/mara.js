// Mara, who leads support, at her browser: one cookie, and the buttons of the pages that Chancery shows her.
// She takes tasks like the agents do, a line each, and answers each with one line of JSON.
import { createInterface } from 'node:readline';

// People come by a name: her sign-in link says which.
let here = process.env.CHANCERY_URL;
let cookie = '';

async function open(path) {
    const answer = await fetch(new URL(path, here), { headers: { cookie }, redirect: 'manual' });
    return read(path, answer);
}

async function press(path, fields) {
    const headers = { cookie, origin: here };
    const answer = await fetch(new URL(path, here), { method: 'POST', headers, body: new URLSearchParams(fields), redirect: 'manual' });
    cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
    return read(path, answer);
}

async function read(path, answer) {
    const page = await answer.text();
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${words(page)}`);
    return page;
}

function plain(html) {
    const signs = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' };
    return html.replace(/<[^>]*>/g, ' ').replace(/&(lt|gt|quot|#39|amp);/g, (sign) => signs[sign]);
}

function words(html) {
    return plain(html.slice(Math.max(0, html.indexOf('<body')))).replace(/\s+/g, ' ').trim();
}

function hidden(page, name) {
    return plain(new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? '');
}

/** Opens the one-time link and presses its button. */
async function signIn(link) {
    here = new URL(link, here).origin;
    await open(link);
    await press(link, {});
    const home = words(await open('/sign-in'));
    return /signed in with this browser as ([^ ]+)/.exec(home)?.[1] ?? home;
}

/** Enters the code that an agent shows, reads what it wants, and allows all of it. */
async function allow(code) {
    const start = await open('/device');
    const page = await press('/device', { form: hidden(start, 'form'), user_code: code });
    const title = plain(/<h1[^>]*>(.*?)<\/h1>/s.exec(page)?.[1] ?? '').trim();
    const wanted = words(/<ul class="rights">.*?<\/ul>/s.exec(page)?.[0] ?? '');
    const kept = [...page.matchAll(/name="keep" value="(\d+)"/g)].map(([, index]) => ['keep', index]);
    const sent = ['form', 'user_code', 'shown'].map((name) => [name, hidden(page, name)]);
    await press('/device', [...sent, ...kept, ['lasts', '3600'], ['answer', 'allow']]);
    return `${title} It wants to ${wanted}`;
}

const TASKS = {
    'sign-in': async (link) => `signed in as ${await signIn(link)}; the link is used up`,
    'allow': async (code) => `she reads "${await allow(code)}" and allows it for an hour`,
};

for await (const line of createInterface({ input: process.stdin })) {
    const [task, given] = line.split(' ');
    console.log(JSON.stringify({ task, said: await TASKS[task](given), calls: [] }));
}
