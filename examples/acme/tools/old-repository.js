// Writes a repository as one finds them: an agent that nobody registered, a client that goes past the gateway, the key it
// uses forgotten in a file, and a role that trusts every pipeline of the company.
//   node tools/old-repository.js DIRECTORY URL-OF-BILLING
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const [directory, billing] = process.argv.slice(2);
const key = execFileSync('node', ['servers/billing.js', '--issue-key'], { encoding: 'utf8' }).trim();
const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
const files = {
    'crew/agents.yaml': [
        'invoice-chaser:',
        '  role: Reminds customers of open invoices',
        '  goal: Every invoice is paid within thirty days',
        '  llm: gpt-5-mini',
        '  tools: [read_invoices, refund_invoice]',
        '',
    ].join('\n'),
    '.cursor/mcp.json': json({
        mcpServers: { billing: { url: billing, headers: { Authorization: `Bearer ${key}` } } },
    }),
    'deploy/.env': `# for the first test only\nBILLING_API_KEY=${key}\n`,
    'infra/deploy-role-trust.json': json({
        Version: '2012-10-17',
        Statement: [
            {
                Effect: 'Allow',
                Principal: { Federated: 'arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com' },
                Action: 'sts:AssumeRoleWithWebIdentity',
                Condition: { StringLike: { 'token.actions.githubusercontent.com:sub': 'repo:acme/*' } },
            },
        ],
    }),
};
for (const [path, text] of Object.entries(files)) {
    const target = join(directory, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text, { mode: 0o600 });
}
console.log(`a repository of ${Object.keys(files).length} files`);
