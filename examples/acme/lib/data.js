// One SQLite file per system, created and filled the first time it is opened.
// The rows are always the same, so that a run can be repeated and checked.
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import sqlite from 'node-sqlite3-wasm';

const BUSY_LIMIT_MS = 5_000;
const STALE_LOCK_MS = 3_000;

/** Where the systems keep their data: `ACME_DATA`, or `data/acme` below the working directory. */
export function dataDirectory() {
    return resolve(process.env.ACME_DATA ?? 'data/acme');
}

/**
 * Opens `name.sqlite`; runs `seed(database)` in the same transaction that creates the tables.
 * Several processes may hold the same file open, each takes the lock for one statement or transaction only.
 */
export function open(name, seed) {
    const directory = dataDirectory();
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, `${name}.sqlite`);
    const database = new sqlite.Database(path);
    const data = new Data(database, path);
    data.transaction(() => {
        if (data.get('PRAGMA user_version').user_version === 1) return;
        database.exec('CREATE TABLE api_keys (sha256 TEXT PRIMARY KEY)');
        seed(data);
        database.exec('PRAGMA user_version = 1');
    });
    return data;
}

/** A thin layer over the driver: waits for the lock, speaks in rows. */
class Data {
    #database;
    #path;

    constructor(database, path) {
        this.#database = database;
        this.#path = path;
    }

    all(sql, values = []) {
        return this.#waiting(() => this.#database.all(sql, values));
    }

    get(sql, values = []) {
        return this.all(sql, values)[0];
    }

    run(sql, values = []) {
        return this.#waiting(() => this.#database.run(sql, values));
    }

    exec(sql) {
        return this.#waiting(() => this.#database.exec(sql));
    }

    /** Inserts one row per array in `rows`. */
    fill(table, rows) {
        const places = rows[0].map(() => '?').join(', ');
        for (const row of rows) this.run(`INSERT INTO ${table} VALUES (${places})`, row);
    }

    /** All of `work` or nothing of it. */
    transaction(work) {
        this.#waiting(() => this.#database.exec('BEGIN IMMEDIATE'));
        try {
            const result = work();
            this.#database.exec('COMMIT');
            return result;
        } catch (error) {
            this.#database.exec('ROLLBACK');
            throw error;
        }
    }

    /** Makes a new API key for this system. Only its digest is kept. */
    issueKey(system) {
        const key = `acme-${system}-${randomBytes(24).toString('hex')}`;
        this.run('INSERT INTO api_keys VALUES (?)', [digest(key)]);
        return key;
    }

    /** Whether `key` was issued by this system. */
    knowsKey(key) {
        return this.get('SELECT 1 AS found FROM api_keys WHERE sha256 = ?', [digest(key)]) !== undefined;
    }

    close() {
        this.#database.close();
    }

    #waiting(work) {
        const until = Date.now() + BUSY_LIMIT_MS;
        for (;;) {
            try {
                return work();
            } catch (error) {
                if (!/locked|busy/i.test(error.message) || Date.now() > until) throw error;
                this.#dropStaleLock();
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
            }
        }
    }

    // The driver locks by making a directory; a process that was killed leaves it behind.
    #dropStaleLock() {
        const lock = `${this.#path}.lock`;
        const since = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
        if (since !== undefined && Date.now() - since > STALE_LOCK_MS) rmSync(lock, { recursive: true, force: true });
    }
}

function digest(key) {
    return createHash('sha256').update(key).digest('hex');
}
