import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { CommandFlag, CommandLine } from '../../lake/base/command.ts';
import { type AdminCommand, runAdmin, tenantFlag, tenantPath } from './admin-command.ts';
import { adoptionCommands } from './adoptions.ts';
import type { CloudApi } from './cloud-api.ts';
import { textTable } from './print-table.ts';

const config = z.object({ version: z.number(), state: z.string() }).optional();
const firmware = z
  .object({ version: z.string(), told: z.object({ rollout: z.number(), state: z.string() }).optional() })
  .optional();
const gatewaySchema = z.object({
  ...{ id: z.string(), site: z.string(), group: z.string(), createdAt: z.string() },
  ...{ revokedAt: z.string().nullable(), seenAt: z.string().nullable() },
  report: z
    .object({
      version: z.string(),
      clock: z.string(),
      config,
      firmware,
      readings: z.record(z.string(), z.number()),
    })
    .nullable(),
});

const gatewaysOf = (line: CommandLine): string => `${tenantPath(line)}/gateways`;
const gatewayOf = (line: CommandLine): string =>
  `${gatewaysOf(line)}/${encodeURIComponent(line.positionals[0] ?? '')}`;

const runFlags: readonly CommandFlag[] = [
  tenantFlag,
  { flag: '--wait-seconds', value: 'N', description: 'How long its answer is waited for (default 120)' },
];

const resultSchema = z.object({
  ...{ id: z.string(), command: z.string(), createdBy: z.string(), createdAt: z.string() },
  ...{ ok: z.boolean().nullable(), output: z.string() },
});

/** What came of a command; of one that still waits after that time, that. */
async function resultOf(api: CloudApi, path: string, id: string, seconds: number): Promise<unknown> {
  const untilMs = performance.now() + seconds * 1000;
  for (;;) {
    const all = z.array(resultSchema).parse(await api.call('GET', path));
    const found = all.find((each) => each.id === id);
    if (found?.ok !== null || performance.now() > untilMs) return found;
    await delay(1000);
  }
}

const commands: Readonly<Record<string, AdminCommand>> = {
  ...adoptionCommands,
  list: {
    ...{ summary: 'List enrolled gateways', flags: [tenantFlag], positionals: [] },
    run: (api, line) => api.call('GET', gatewaysOf(line)),
    print: (data) =>
      textTable(
        [
          'GATEWAY',
          'SITE',
          'GROUP',
          'STATE',
          'SEEN',
          'VERSION',
          'SETTINGS',
          'FIRMWARE',
          'CLOCK',
          'BACKLOG ROWS',
        ],
        z.array(gatewaySchema).parse(data).map(row),
      ),
  },
  show: {
    ...{ summary: 'Show one gateway', flags: [tenantFlag], positionals: ['GATEWAY'] },
    run: (api, line) => api.call('GET', gatewayOf(line)),
    print: (data) => `${JSON.stringify(data, null, 2)}\n`,
  },
  group: {
    ...{
      summary: 'Put a gateway into a group, for rollouts',
      flags: [tenantFlag],
      positionals: ['GATEWAY', 'GROUP'],
    },
    run: (api, line) => api.call('POST', `${gatewayOf(line)}/group`, { group: line.positionals[1] }),
    print: (_, { positionals: [id, group] }) => `gateway ${id} is in the group ${group}\n`,
  },
  run: {
    ...{ summary: 'Have a gateway do something: restart, logs, rotate-key, diagnostic', flags: runFlags },
    positionals: ['GATEWAY', 'COMMAND'],
    run: async (api, line) => {
      const path = `${gatewayOf(line)}/commands`;
      const { id } = z
        .object({ id: z.string() })
        .parse(await api.call('POST', path, { command: line.positionals[1] }));
      return resultOf(api, path, id, Number(line.value('--wait-seconds') ?? 120));
    },
    print: (data) => {
      const { ok, output, id } = resultSchema.parse(data);
      if (ok === null) return `${id} waits for the gateway\n`;
      return `${ok ? '' : 'it failed: '}${output}\n`;
    },
  },
  commands: {
    ...{
      summary: 'What a gateway was to do, and what came of it',
      flags: [tenantFlag],
      positionals: ['GATEWAY'],
    },
    run: (api, line) => api.call('GET', `${gatewayOf(line)}/commands`),
    print: (data) =>
      textTable(
        ['COMMAND', 'DOES', 'BY', 'CREATED', 'RESULT'],
        z
          .array(resultSchema)
          .parse(data)
          .map(({ id, command, createdBy, createdAt, ok }) => [
            ...[id, command, createdBy, createdAt, ok === null ? 'waits' : ok ? 'done' : 'failed'],
          ]),
      ),
  },
  revoke: {
    ...{ summary: 'Refuse a gateway from now on; its data stays', flags: [tenantFlag] },
    positionals: ['GATEWAY'],
    run: (api, line) => api.call('DELETE', gatewayOf(line)),
    print: (_, { positionals: [id] }) => `gateway ${id} is revoked\n`,
  },
};

const row = ({ id, site, group, revokedAt, seenAt, report }: z.infer<typeof gatewaySchema>) => [
  ...[id, site, group, revokedAt === null ? 'enrolled' : `revoked ${revokedAt}`, seenAt],
  report?.version,
  report?.config && `${report.config.version} ${report.config.state}`,
  report?.firmware && [report.firmware.version, report.firmware.told?.state].filter(Boolean).join(' '),
  ...[report?.clock, report?.readings.ship_backlog_rows],
];

export function main(argv: readonly string[]): Promise<number> {
  return runAdmin('gateways', 'Gateways that are enrolled with a running cloud.', commands, argv);
}
