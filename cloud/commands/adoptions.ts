import { stringify } from 'yaml';
import { z } from 'zod';
import type { CommandFlag, CommandLine } from '../../lake/base/command.ts';
import { type AdminCommand, tenantFlag, tenantPath } from './admin-command.ts';
import { textTable } from './print-table.ts';

// The commands of `firn gateways` that are about devices which show a code.

const schema = z.object({
  ...{ code: z.string(), claim: z.string().nullable(), site: z.string().nullable() },
  ...{ gateway: z.string().nullable(), expiresAt: z.string().nullable(), usedBy: z.string().nullable() },
  ...{ seenAt: z.string().nullable(), address: z.string().nullable(), asksFor: z.string().nullable() },
});
type Adoption = z.infer<typeof schema>;

const adoptFlags: readonly CommandFlag[] = [
  tenantFlag,
  { flag: '--site', value: 'SITE', required: true, description: 'Site where the device stands' },
  { flag: '--gateway', value: 'ID', description: 'Id that it gets (default: the one that it asks for)' },
  { flag: '--replace', description: 'It may take the place of a gateway that is there' },
  { flag: '--days', value: 'N', description: 'How long it is let in, if it comes later (default 30)' },
  { flag: '--description', value: 'TEXT', description: 'What it is for' },
];

const adoptionsOf = (line: CommandLine): string => `${tenantPath(line)}/adoptions`;

export const adoptionCommands: Readonly<Record<string, AdminCommand>> = {
  adopt: {
    ...{ summary: 'Make a device a gateway by the code that it shows', flags: adoptFlags },
    positionals: ['CODE'],
    run: (api, line) => {
      const days = line.value('--days');
      return api.call('POST', adoptionsOf(line), {
        ...{ code: line.positionals[0], site: line.value('--site'), gateway: line.value('--gateway') },
        ...{ replace: line.isSet('--replace'), description: line.value('--description') },
        ...(days !== undefined && { expiresInSeconds: Math.round(Number(days) * 86_400) }),
      });
    },
    print: (data) => {
      const { code, seenAt, address, expiresAt } = schema.parse(data);
      return seenAt === null
        ? `${code} is adopted; the device has not asked lately, and is let in until ${expiresAt}\n`
        : `${code} is adopted; the device asked from ${address} at ${seenAt}, and comes within a minute\n`;
    },
  },
  pending: {
    summary: 'Devices that are adopted and have not come yet; or the one that shows a code',
    flags: [tenantFlag, { flag: '--code', value: 'CODE', description: 'Of a device, adopted or not' }],
    positionals: [],
    run: async (api, line) => {
      const code = line.value('--code');
      if (code === undefined) return api.call('GET', adoptionsOf(line));
      return [await api.call('GET', `${adoptionsOf(line)}/${encodeURIComponent(code)}`)];
    },
    print: (data) =>
      textTable(
        ['CODE', 'STATE', 'SITE', 'GATEWAY', 'ASKED LAST', 'FROM'],
        z.array(schema).parse(data).map(row),
      ),
  },
  'site-file': {
    summary:
      'Print the firn-site.yaml of an image for all devices of a fleet, which are adopted by their codes',
    ...{ flags: [tenantFlag], positionals: [] },
    run: async (api, line) => {
      const answer = z.object({ tenant: z.string(), url: z.string().nullable(), pin: z.string() });
      const { tenant, url, pin } = answer.parse(await api.call('GET', `${tenantPath(line)}/site-file`));
      return { tenant, settings: { cloud: { url: url ?? api.url, pin } } };
    },
    print: (data) => stringify(data),
  },
};

const row = (each: Adoption) => [
  each.code,
  stateOf(each),
  each.site,
  each.usedBy ?? each.gateway ?? each.asksFor,
  each.seenAt,
  each.address,
];

function stateOf({ claim, usedBy, expiresAt }: Adoption): string {
  if (claim === null) return 'not adopted';
  return usedBy === null ? `let in until ${expiresAt}` : 'enrolled';
}
