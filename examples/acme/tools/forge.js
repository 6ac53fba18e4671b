// Changes a text in a file to another one of the same length, as somebody would who wants to hide something.
//   node tools/forge.js IN OUT FROM TO
import { readFileSync, writeFileSync } from 'node:fs';

const [source, target, from, to] = process.argv.slice(2);
if (Buffer.byteLength(from) !== Buffer.byteLength(to)) throw new Error(`${from} and ${to} differ in length`);
const bytes = readFileSync(source);
const at = bytes.indexOf(from);
if (at < 0) throw new Error(`${source} does not hold ${from}`);
bytes.write(to, at);
writeFileSync(target, bytes);
console.log(`changed ${from} to ${to} at byte ${at}`);
