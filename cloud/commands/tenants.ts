import { z } from 'zod';
import { type AdminCommand, runAdmin } from './admin-command.ts';
import { textTable } from './print-table.ts';

const base = '/api/v1/firn/admin/tenants';
const listed = z.array(
  z.object({ id: z.string(), createdAt: z.string(), suspendedAt: z.string().nullable() }),
);

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
};

export function main(argv: readonly string[]): Promise<number> {
  return runAdmin(
    'tenants',
    'Administers the tenants of a running cloud, with the key of an operator.',
    commands,
    argv,
  );
}
