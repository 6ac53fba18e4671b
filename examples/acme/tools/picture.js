// Draws what a program printed as an SVG that follows the reader's light or dark setting.
//   chancery demo --once | node tools/picture.js 'chancery demo' > story.svg
// docs/images/story.svg is a part of it: how the clerk takes over, what it is denied, and how it ends.
import { readFileSync } from 'node:fs';

const WIDTH = 100;
const LINE = 17;
const CHARACTER = 7.85;
const TOP = 46;
const SIDE = 18;

const title = process.argv[2] ?? '';
const lines = readFileSync(0, 'utf8').trimEnd().split('\n').flatMap(wrapped);

function wrapped(line) {
    const indent = `${/^ */.exec(line)[0]}${/^\s+[✓$>]/.test(line) ? '  ' : ''}`;
    const rows = [];
    while (line.length > WIDTH) {
        const space = line.lastIndexOf(' ', WIDTH);
        const at = space > indent.length ? space : WIDTH;
        rows.push(line.slice(0, at));
        line = indent + line.slice(at).trimStart();
    }
    return [...rows, line];
}

function kind(line) {
    if (/^\d+\. /.test(line)) return 'head';
    if (/^ {3}[$>] /.test(line)) return 'dim';
    if (/^ {5}\s*denied:/.test(line)) return 'bad';
    return '';
}

function escaped(text) {
    return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function row(line, index) {
    const text = escaped(line).replace('✓', '<tspan class="good">✓</tspan>');
    return `<text x="${SIDE}" y="${TOP + index * LINE}" class="${kind(line)}">${text}</text>`;
}

const width = Math.ceil(WIDTH * CHARACTER + 2 * SIDE);
const height = TOP + lines.length * LINE + 8;
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" role="img" aria-label="${escaped(title)}">
<style>
svg { --back: #fbfbfd; --edge: #d5d9e0; --text: #1f2430; --dim: #5d6675; --good: #12703a; --bad: #a3261c }
@media (prefers-color-scheme: dark) { svg { --back: #151922; --edge: #323a49; --text: #dfe5ee; --dim: #97a3b6; --good: #5fd38d; --bad: #ff8f84 } }
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: var(--text); white-space: pre }
.dim { fill: var(--dim) } .head { font-weight: 600 } .good { fill: var(--good) } .bad { fill: var(--bad) }
</style>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8" fill="var(--back)" stroke="var(--edge)"/>
<circle cx="20" cy="18" r="5" fill="#e0645a"/><circle cx="37" cy="18" r="5" fill="#e0b04a"/><circle cx="54" cy="18" r="5" fill="#5aa469"/>
<text x="${width / 2}" y="22" text-anchor="middle" class="dim">${escaped(title)}</text>
${lines.map(row).join('\n')}
</svg>`);
