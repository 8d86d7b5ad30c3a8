import { z } from 'zod';
import type { CommandLine } from '../../lake/base/command.ts';
import { type AdminCommand, runAdmin, tenantFlag, tenantPath } from './admin-command.ts';
import { textTable } from './print-table.ts';

const gatewaySchema = z.object({
  ...{ id: z.string(), site: z.string(), createdAt: z.string() },
  ...{ revokedAt: z.string().nullable(), seenAt: z.string().nullable() },
  report: z
    .object({ version: z.string(), clock: z.string(), readings: z.record(z.string(), z.number()) })
    .nullable(),
});

const gatewaysOf = (line: CommandLine): string => `${tenantPath(line)}/gateways`;
const gatewayOf = (line: CommandLine): string =>
  `${gatewaysOf(line)}/${encodeURIComponent(line.positionals[0] ?? '')}`;

const commands: Readonly<Record<string, AdminCommand>> = {
  list: {
    ...{ summary: 'List enrolled gateways', flags: [tenantFlag], positionals: [] },
    run: (api, line) => api.call('GET', gatewaysOf(line)),
    print: (data) =>
      textTable(
        ['GATEWAY', 'SITE', 'STATE', 'SEEN', 'VERSION', 'CLOCK', 'BACKLOG ROWS'],
        z.array(gatewaySchema).parse(data).map(row),
      ),
  },
  show: {
    ...{ summary: 'Show one gateway', flags: [tenantFlag], positionals: ['GATEWAY'] },
    run: (api, line) => api.call('GET', gatewayOf(line)),
    print: (data) => `${JSON.stringify(data, null, 2)}\n`,
  },
  revoke: {
    ...{ summary: 'Refuse a gateway from now on; its data stays', flags: [tenantFlag] },
    positionals: ['GATEWAY'],
    run: (api, line) => api.call('DELETE', gatewayOf(line)),
    print: (_, { positionals: [id] }) => `gateway ${id} is revoked\n`,
  },
};

const row = ({ id, site, revokedAt, seenAt, report }: z.infer<typeof gatewaySchema>) => [
  ...[id, site, revokedAt === null ? 'enrolled' : `revoked ${revokedAt}`, seenAt],
  ...[report?.version, report?.clock, report?.readings.ship_backlog_rows],
];

export function main(argv: readonly string[]): Promise<number> {
  return runAdmin('gateways', 'Gateways that are enrolled with a running cloud.', commands, argv);
}
