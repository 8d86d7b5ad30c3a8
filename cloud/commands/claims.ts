import { writeFileSync } from 'node:fs';
import { renderUnicodeCompact } from 'uqr';
import { z } from 'zod';
import type { CommandFlag, CommandLine } from '../../lake/base/command.ts';
import { parseClaim, printClaim } from '../../provisioning/contract.ts';
import { type AdminCommand, runAdmin, tenantFlag, tenantPath } from './admin-command.ts';
import { claimSheet } from './claim-sheet.ts';
import { textTable } from './print-table.ts';

const createFlags: readonly CommandFlag[] = [
  tenantFlag,
  { flag: '--site', value: 'SITE', required: true, description: 'Site where the gateway will stand' },
  { flag: '--gateway', value: 'ID', description: 'Id of the gateway; one that is there is replaced' },
  { flag: '--count', value: 'N', description: 'How many, one for each gateway (default 1)' },
  { flag: '--days', value: 'N', description: 'How long they can be used (default 30)' },
  { flag: '--description', value: 'TEXT', description: 'What they are for' },
  { flag: '--sheet', value: 'FILE', description: 'Write a page with QR codes to print (HTML)' },
  { flag: '--qr', description: 'Print QR codes here' },
];

const madeSchema = z.array(z.object({ id: z.string(), claim: z.string() }));
const listSchema = z.array(
  z.object({
    ...{ id: z.string(), site: z.string(), gateway: z.string().nullable(), description: z.string() },
    ...{ createdAt: z.string(), expiresAt: z.string(), revokedAt: z.string().nullable() },
    ...{ usedAt: z.string().nullable(), usedBy: z.string().nullable() },
  }),
);
type Listed = z.infer<typeof listSchema>[number];

const claimsOf = (line: CommandLine): string => `${tenantPath(line)}/claims`;

const commands: Readonly<Record<string, AdminCommand>> = {
  create: {
    ...{ summary: 'Make claims and print them, once', flags: createFlags, positionals: [] },
    run: async (api, line) => {
      const days = line.value('--days');
      const count = line.value('--count');
      const made = await api.call('POST', claimsOf(line), {
        ...{ site: line.value('--site'), gateway: line.value('--gateway') },
        description: line.value('--description'),
        ...(count !== undefined && { count: Number(count) }),
        ...(days !== undefined && { expiresInSeconds: Math.round(Number(days) * 86_400) }),
      });
      const claims = z
        .array(
          z.object({ id: z.string(), claim: z.string(), url: z.string().nullable(), expiresAt: z.string() }),
        )
        .parse(made)
        .map(({ claim, url, ...each }) => ({
          ...each,
          claim: printClaim({ ...parseClaim(claim), url: url ?? api.url }),
        }));
      const sheet = line.value('--sheet');
      if (sheet !== undefined) writeFileSync(sheet, sheetText(line, claims), { mode: 0o600 });
      return claims;
    },
    print: (data, line) =>
      madeSchema
        .parse(data)
        .map(({ claim }) => `${claim}\n${line.isSet('--qr') ? `${renderUnicodeCompact(claim)}\n` : ''}`)
        .join(''),
  },
  list: {
    ...{ summary: 'List claims, the newest first', flags: [tenantFlag], positionals: [] },
    run: (api, line) => api.call('GET', claimsOf(line)),
    print: (data) =>
      textTable(['CLAIM', 'SITE', 'GATEWAY', 'STATE', 'DESCRIPTION'], listSchema.parse(data).map(row)),
  },
  revoke: {
    ...{ summary: 'Revoke a claim that is not used', flags: [tenantFlag], positionals: ['CLAIM_ID'] },
    run: (api, line) =>
      api.call('DELETE', `${claimsOf(line)}/${encodeURIComponent(line.positionals[0] ?? '')}`),
    print: (_, { positionals: [id] }) => `claim ${id} is revoked\n`,
  },
};

const sheetText = (
  line: CommandLine,
  claims: readonly { readonly id: string; readonly claim: string; readonly expiresAt: string }[],
): string => {
  const [site = '', gateway] = [line.value('--site'), line.value('--gateway')];
  const printed = claims.map(({ id, claim, expiresAt }) => ({ id, text: claim, site, gateway, expiresAt }));
  return claimSheet(line.value('--tenant') ?? '', printed);
};

const row = (claim: Listed) => [
  claim.id,
  claim.site,
  claim.gateway ?? 'new',
  stateOf(claim),
  claim.description,
];

function stateOf({ usedAt, usedBy, revokedAt, expiresAt }: Listed): string {
  if (usedAt !== null) return `used by ${usedBy} ${usedAt}`;
  if (revokedAt !== null) return `revoked ${revokedAt}`;
  return `${Date.parse(expiresAt) > Date.now() ? 'until' : 'expired'} ${expiresAt}`;
}

export function main(argv: readonly string[]): Promise<number> {
  const about =
    'Claims let gateways enroll: each makes one device a gateway of a tenant, once. With the key of an operator or one of the tenant with the scope admin.';
  return runAdmin('claims', about, commands, argv);
}
