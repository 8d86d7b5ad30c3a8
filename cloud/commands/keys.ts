import { z } from 'zod';
import type { CommandFlag, CommandLine } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { type AdminCommand, runAdmin, tenantFlag, tenantPath } from './admin-command.ts';
import { textTable } from './print-table.ts';

const createFlags: readonly CommandFlag[] = [
  tenantFlag,
  { flag: '--description', value: 'TEXT', description: 'What the key is for' },
  { flag: '--scopes', value: 'LIST', description: 'ingest, read, admin, with commas between (default read)' },
  { flag: '--sites', value: 'LIST', description: 'See rows of these sites only' },
  { flag: '--signals', value: 'LIST', description: 'See metrics, logs, spans, events only' },
  { flag: '--labels', value: 'LIST', description: 'See rows with these labels only: line=3,plant=north' },
  { flag: '--expires-at', value: 'TIME', description: 'When it stops to count: 2027-01-31T00:00:00Z' },
];
const overlapFlag: CommandFlag = {
  ...{ flag: '--overlap-seconds', value: 'N' },
  description: 'How long the old key still counts (default 86400)',
};

const keySchema = z.object({
  ...{ id: z.string(), description: z.string(), scopes: z.array(z.string()), restriction: z.unknown() },
  expiresAt: z.string().nullable(),
  ...{ revokedAt: z.string().nullable(), lastUsedAt: z.string().nullable() },
});
type Key = z.infer<typeof keySchema>;
const secretSchema = z.object({ id: z.string(), secret: z.string() });

const keysOf = (line: CommandLine): string => `${tenantPath(line)}/keys`;
const keyOf = (line: CommandLine): string =>
  `${keysOf(line)}/${encodeURIComponent(line.positionals[0] ?? '')}`;

const commands: Readonly<Record<string, AdminCommand>> = {
  list: {
    ...{ summary: 'List the keys of a tenant', flags: [tenantFlag], positionals: [] },
    run: (api, line) => api.call('GET', keysOf(line)),
    print: (data) =>
      textTable(
        ['KEY', 'SCOPES', 'STATE', 'LAST USED', 'SEES', 'DESCRIPTION'],
        z.array(keySchema).parse(data).map(row),
      ),
  },
  create: {
    ...{ summary: 'Create a key and print its secret, once', flags: createFlags, positionals: [] },
    run: (api, line) => api.call('POST', keysOf(line), keyAsked(line)),
    print: secretText,
  },
  rotate: {
    ...{ summary: 'Replace a key by another that may do the same' },
    ...{ flags: [tenantFlag, overlapFlag], positionals: ['KEY'] },
    run: (api, line) => {
      const overlap = line.value('--overlap-seconds');
      return api.call(
        'POST',
        `${keyOf(line)}/rotate`,
        overlap === undefined ? {} : { overlapSeconds: Number(overlap) },
      );
    },
    print: secretText,
  },
  revoke: {
    ...{ summary: 'Revoke a key, within 5 seconds everywhere', flags: [tenantFlag], positionals: ['KEY'] },
    run: (api, line) => api.call('DELETE', keyOf(line)),
    print: (_, { positionals: [id] }) => `key ${id} is revoked\n`,
  },
};

function keyAsked(line: CommandLine): object {
  const list = (flag: string): string[] | undefined =>
    line
      .value(flag)
      ?.split(',')
      .map((each) => each.trim());
  const labels = list('--labels')?.map((each) => {
    const at = each.indexOf('=');
    if (at < 1)
      throw new FirnError({
        code: 'invalid',
        operation: 'read flags',
        subject: '--labels',
        message: `--labels: ${JSON.stringify(each)} is not NAME=VALUE`,
      });
    return [each.slice(0, at), each.slice(at + 1)];
  });
  const restriction = {
    ...{ sites: list('--sites'), signals: list('--signals') },
    labels: labels && Object.fromEntries(labels),
  };
  const restricted = Object.values(restriction).some((each) => each !== undefined);
  return {
    ...{
      description: line.value('--description'),
      scopes: list('--scopes'),
      expiresAt: line.value('--expires-at'),
    },
    ...(restricted && { restriction }),
  };
}

const row = ({ id, scopes, restriction, description, ...times }: Key) => [
  ...[id, scopes.join(','), stateOf(times), times.lastUsedAt],
  restriction === null ? 'everything' : JSON.stringify(restriction),
  description,
];

function stateOf({ expiresAt, revokedAt }: Pick<Key, 'expiresAt' | 'revokedAt'>): string {
  if (revokedAt !== null) return `revoked ${revokedAt}`;
  if (expiresAt === null) return 'valid';
  return `${Date.parse(expiresAt) > Date.now() ? 'until' : 'expired'} ${expiresAt}`;
}

function secretText(data: unknown): string {
  const { id, secret } = secretSchema.parse(data);
  return `id      ${id}\nsecret  ${secret}\nThe secret is not shown again.\n`;
}

export function main(argv: readonly string[]): Promise<number> {
  const about =
    'Administers the keys of a tenant, with the key of an operator or one of the tenant with the scope admin.';
  return runAdmin('keys', about, commands, argv);
}
