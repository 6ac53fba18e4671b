// What the agents and people of the story do by themselves, without a server.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { claims, keyOf } from '../agents/mandate.js';

const directory = mkdtempSync(join(tmpdir(), 'acme-keys-'));
process.env.CHANCERY_KEY_DIR = directory;
after(() => rmSync(directory, { recursive: true, force: true }));

async function keep(name, algorithm, mode) {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const material = Buffer.from(await crypto.subtle.exportKey('pkcs8', pair.privateKey)).toString('base64url');
    const path = join(directory, `${name}.key`);
    writeFileSync(path, `${algorithm} ${material}\n`);
    chmodSync(path, mode);
    return pair.publicKey;
}

describe('the key of an agent', () => {
    it('is read as the command line keeps it, and cannot be taken out again', async () => {
        const known = await keep('clerk', 'ES256', 0o600);
        const key = await keyOf('clerk');
        const how = { name: 'ECDSA', hash: 'SHA-256' };
        const signature = await crypto.subtle.sign(how, key, Buffer.from('x'));
        assert.ok(await crypto.subtle.verify(how, known, signature, Buffer.from('x')));
        assert.equal(key.extractable, false);
    });

    it('is refused where others can read it, and where it is of another kind', async () => {
        await keep('open', 'ES256', 0o640);
        await assert.rejects(keyOf('open'), /can be read by others/);
        await keep('other', 'EdDSA', 0o600);
        await assert.rejects(keyOf('other'), /no ES256 key/);
    });
});

describe('a token', () => {
    it('tells what it says about itself', () => {
        const body = Buffer.from(JSON.stringify({ sid: 'ses_1', act: { sub: 'agt_1' } })).toString('base64url');
        assert.deepEqual(claims(`e30.${body}.e30`), { sid: 'ses_1', act: { sub: 'agt_1' } });
    });
});

describe('a clerk', () => {
    it('has no authority before it took something over', () => {
        const program = new URL('../agents/refund-clerk.js', import.meta.url).pathname;
        const env = { PATH: process.env.PATH, CHANCERY_URL: 'http://127.0.0.1:1', CHANCERY_KEY_DIR: directory };
        const done = spawnSync(process.execPath, [program, 'clerk'], { env, input: 'refund-45\n', encoding: 'utf8', timeout: 20_000 });
        assert.notEqual(done.status, 0);
        assert.equal(done.stdout, '');
    });
});
