import { z } from 'zod';
import type { CommandFlag } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { type AdminCommand, runAdmin } from './admin-command.ts';
import { textTable } from './print-table.ts';

const base = '/api/v1/firn/admin/tenants';
const listed = z.array(
  z.object({ id: z.string(), createdAt: z.string(), suspendedAt: z.string().nullable() }),
);

const limitsSchema = z.record(z.string(), z.number());
const setFlag: CommandFlag = {
  ...{ flag: '--set', value: 'LIST' },
  description: 'queriesMax=20,storedBytesMax=default: what is to be otherwise, 0 for no limit',
};

const of = (tenant = ''): string => `${base}/${encodeURIComponent(tenant)}`;

const commands: Readonly<Record<string, AdminCommand>> = {
  list: {
    ...{ summary: 'List tenants', flags: [], positionals: [] },
    run: (api) => api.call('GET', base),
    print: (data) =>
      textTable(
        ['TENANT', 'CREATED', 'SUSPENDED'],
        listed.parse(data).map(({ id, createdAt, suspendedAt }) => [id, createdAt, suspendedAt]),
      ),
  },
  create: {
    ...{
      summary: 'Create a tenant; `firn keys create` then makes a key for it',
      flags: [],
      positionals: ['TENANT'],
    },
    run: (api, { positionals: [id] }) => api.call('POST', base, { id }),
    print: (_, { positionals: [id] }) => `made tenant ${id}\n`,
  },
  suspend: {
    ...{ summary: 'Refuse all keys of a tenant; its data stays', flags: [], positionals: ['TENANT'] },
    run: (api, { positionals: [id] }) => api.call('POST', `${of(id)}/suspend`),
    print: (_, { positionals: [id] }) => `tenant ${id} is suspended\n`,
  },
  resume: {
    ...{ summary: 'Take the keys of a tenant again', flags: [], positionals: ['TENANT'] },
    run: (api, { positionals: [id] }) => api.call('POST', `${of(id)}/resume`),
    print: (_, { positionals: [id] }) => `tenant ${id} goes on\n`,
  },
  limits: {
    ...{ summary: 'What a tenant may use; or set it', flags: [setFlag], positionals: ['TENANT'] },
    run: (api, line) => {
      const path = `${of(line.positionals[0])}/limits`;
      const asked = line.value('--set');
      return asked === undefined ? api.call('GET', path) : api.call('POST', path, limitsAsked(asked));
    },
    print: (data) =>
      textTable(
        ['LIMIT', 'VALUE'],
        Object.entries(limitsSchema.parse(data)).map(([name, value]) => [
          ...[name, value === 0 ? 'no limit' : `${value}`],
        ]),
      ),
  },
};

function limitsAsked(text: string): object {
  const pairs = text.split(',').map((pair) => {
    const [name = '', value = ''] = pair.split('=').map((each) => each.trim());
    if (name !== '' && /^(\d+|default)$/.test(value))
      return [name, value === 'default' ? null : Number(value)] as const;
    throw new FirnError({
      ...{ code: 'invalid', operation: 'read flags', subject: '--set' },
      message: `--set: ${JSON.stringify(pair)} is not NAME=NUMBER or NAME=default`,
    });
  });
  return Object.fromEntries(pairs);
}

export function main(argv: readonly string[]): Promise<number> {
  return runAdmin(
    'tenants',
    'Administers the tenants of a running cloud, with the key of an operator.',
    commands,
    argv,
  );
}
