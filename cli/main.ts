#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { wantsHelp } from '../lake/base/config.ts';
import { saveMemory } from './small-memory.ts';

// `firn COMMAND`: one file per command, loaded only when it is asked for.

// DuckDB holds a thread of libuv's pool for each statement that runs; with the default of 4, a few long queries would
// stall every file of the process. It is read when the first thread is needed, so it is set before anything is loaded.
process.env.UV_THREADPOOL_SIZE ??= '24';

// Compiled modules are kept, so that later starts need no TypeScript reader; threads find the folder in the environment.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, '..', '.cache', 'compile');
enableCompileCache(process.env.NODE_COMPILE_CACHE);

interface Command {
  readonly summary: string;
  readonly load: () => Promise<{ main(argv: readonly string[]): Promise<number> }>;
}

const commands: Readonly<Record<string, Command>> = {
  start: { summary: 'Run the cloud and one gateway here, on a folder', load: () => import('./start.ts') },
  gateway: { summary: 'Run a gateway alone', load: () => import('../gateway/main.ts') },
  cloud: { summary: 'Run the cloud alone', load: () => import('./cloud.ts') },
  sql: { summary: 'Run a SQL statement', load: () => import('./ask/sql.ts') },
  promql: { summary: 'Run a PromQL query', load: () => import('./ask/promql.ts') },
  logql: { summary: 'Run a LogQL query', load: () => import('./ask/logql.ts') },
  mqtt: { summary: 'Users of the MQTT broker, and trying mapping rules', load: () => import('./mqtt.ts') },
  users: {
    summary: 'Who may ask a gateway, and send to it',
    load: () => import('../gateway/commands/users.ts'),
  },
  scrape: { summary: 'Check what a gateway is to scrape', load: () => import('./scrape.ts') },
  lake: { summary: 'Check and repair the tables of a cloud', load: () => import('./lake.ts') },
  tenants: { summary: 'Tenants of a cloud', load: () => import('../cloud/commands/tenants.ts') },
  keys: { summary: 'Keys of a tenant', load: () => import('../cloud/commands/keys.ts') },
  claims: { summary: 'Claims, which let gateways enroll', load: () => import('../cloud/commands/claims.ts') },
  gateways: { summary: 'Enrolled gateways', load: () => import('../cloud/commands/gateways.ts') },
  rollouts: {
    summary: 'Settings for enrolled gateways',
    load: () => import('../cloud/commands/rollouts.ts'),
  },
  authority: {
    summary: 'Make the device authority of a cloud',
    load: () => import('../provisioning/commands/authority.ts'),
  },
  enroll: {
    summary: 'Make this device a gateway of a cloud',
    load: () => import('../gateway/commands/enroll.ts'),
  },
  usage: { summary: 'What a tenant has used', load: () => import('../cloud/commands/usage.ts') },
  audit: { summary: 'Who changed tenants and keys', load: () => import('../cloud/commands/audit.ts') },
  tables: { summary: 'Load CSV files as tables, to join with', load: () => import('./tables.ts') },
  provision: { summary: 'Prepare devices before they are sent', load: () => import('./provision.ts') },
  update: { summary: 'New versions of an appliance', load: () => import('./update.ts') },
  appliance: { summary: 'A device that was flashed with an image', load: () => import('./appliance.ts') },
  support: { summary: 'Collect what a helper from afar needs', load: () => import('./support.ts') },
  ship: { summary: 'Carry data and receipts on a USB stick', load: () => import('./ship.ts') },
};

function help(): string {
  const lines = Object.entries(commands).map(([name, command]) => `  ${name.padEnd(10)}${command.summary}`);
  return `usage: firn COMMAND [FLAGS]\n\n${lines.join('\n')}\n\nfirn COMMAND --help shows its flags.\n`;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const command = commands[name];
  if (name === 'gateway') saveMemory();
  if (command) return (await command.load()).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn: there is no command ${JSON.stringify(name)}\n\n${help()}`);
    return 1;
  }
  process.stdout.write(help());
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
