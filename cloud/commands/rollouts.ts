import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import type { CommandFlag, CommandLine } from '../../lake/base/command.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { type AdminCommand, runAdmin, tenantFlag, tenantPath } from './admin-command.ts';
import { textTable } from './print-table.ts';

const createFlags: readonly CommandFlag[] = [
  tenantFlag,
  {
    ...{ flag: '--settings', value: 'FILE' },
    description: 'Settings for the gateways: fields of their config file, YAML or JSON',
  },
  {
    flag: '--firmware',
    value: 'VERSION',
    description: 'An update for flashed gateways; instead of --settings',
  },
  {
    ...{ flag: '--bundle', value: 'URL' },
    description: 'Where they fetch it; {architecture} in it stands for amd64 or arm64',
  },
  { flag: '--sites', value: 'LIST', description: 'Gateways of these sites only, with commas between' },
  { flag: '--groups', value: 'LIST', description: 'Gateways of these groups only' },
  { flag: '--gateways', value: 'LIST', description: 'These gateways only' },
  { flag: '--canaries', value: 'LIST', description: 'Gateways that get it first' },
  { flag: '--stages', value: 'LIST', description: 'Percent of them after each stage (default 10,50,100)' },
  { flag: '--bake-seconds', value: 'N', description: 'How long each stage is watched (default 600)' },
  {
    ...{ flag: '--failure-percent-max', value: 'N' },
    description: 'More gateways that refuse it or take it back halt it (default 10)',
  },
  { flag: '--description', value: 'TEXT', description: 'What it is for' },
];

const listSchema = z.array(
  z.object({
    ...{ number: z.number(), state: z.string(), stage: z.number(), description: z.string() },
    ...{ createdAt: z.string(), detail: z.string(), plan: z.object({ stages: z.array(z.number()) }) },
  }),
);
type Listed = z.infer<typeof listSchema>[number];

const rolloutsOf = (line: CommandLine): string => `${tenantPath(line)}/rollouts`;
const rolloutOf = (line: CommandLine): string =>
  `${rolloutsOf(line)}/${encodeURIComponent(line.positionals[0] ?? '')}`;

const commands: Readonly<Record<string, AdminCommand>> = {
  list: {
    ...{ summary: 'List rollouts, the newest first', flags: [tenantFlag], positionals: [] },
    run: (api, line) => api.call('GET', rolloutsOf(line)),
    print: (data) =>
      textTable(['ROLLOUT', 'STATE', 'STAGE', 'CREATED', 'DESCRIPTION'], listSchema.parse(data).map(row)),
  },
  create: {
    ...{
      summary: 'Bring settings or firmware to gateways, some of them first',
      flags: createFlags,
      positionals: [],
    },
    run: (api, line) => api.call('POST', rolloutsOf(line), rolloutAsked(line)),
    print: (data) => `rollout ${z.object({ number: z.number() }).parse(data).number} is running\n`,
  },
  halt: {
    ...{
      summary: 'Take its settings back from every gateway; firmware goes to no more, and stays where it is',
      flags: [tenantFlag],
      positionals: ['ROLLOUT'],
    },
    run: (api, line) => api.call('POST', `${rolloutOf(line)}/halt`),
    print: (_, { positionals: [number] }) => `rollout ${number} is halted\n`,
  },
  resume: {
    ...{ summary: 'Go on with one that is halted', flags: [tenantFlag], positionals: ['ROLLOUT'] },
    run: (api, line) => api.call('POST', `${rolloutOf(line)}/resume`),
    print: (_, { positionals: [number] }) => `rollout ${number} goes on\n`,
  },
};

function rolloutAsked(line: CommandLine): object {
  const list = (flag: string): string[] | undefined =>
    line
      .value(flag)
      ?.split(',')
      .map((each) => each.trim());
  const number = (flag: string): number | undefined => {
    const value = line.value(flag);
    return value === undefined ? undefined : Number(value);
  };
  return {
    ...broughtBy(line),
    description: line.value('--description'),
    selector: { sites: list('--sites'), groups: list('--groups'), gateways: list('--gateways') },
    ...{ canaries: list('--canaries'), stages: list('--stages')?.map(Number) },
    ...{ bakeSeconds: number('--bake-seconds'), failurePercentMax: number('--failure-percent-max') },
  };
}

function broughtBy(line: CommandLine): object {
  const [settings, version, url] = ['--settings', '--firmware', '--bundle'].map((flag) => line.value(flag));
  if (settings !== undefined && version === undefined && url === undefined)
    return { settings: readSettings(settings) };
  if (settings === undefined && version !== undefined && url !== undefined)
    return { firmware: { version, url } };
  throw new FirnError({
    ...{ code: 'invalid', operation: 'create rollout', subject: '--settings' },
    message: 'a rollout brings settings or firmware',
    hint: 'give --settings FILE, or --firmware VERSION and --bundle URL',
  });
}

function readSettings(path: string): unknown {
  try {
    return parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new FirnError({
      ...{ code: 'invalid', operation: 'read settings', subject: path, cause },
      message: `${path} can't be read: ${messageOf(cause).split('\n')[0]}`,
      hint: 'it is YAML or JSON, like the config file of a gateway',
    });
  }
}

const row = ({ number, state, stage, createdAt, description, detail, plan }: Listed) => [
  ...[number, state, stage < 0 ? 'canaries' : `${plan.stages[stage]} %`, createdAt],
  detail === '' ? description : `${description} (${detail})`,
];

export function main(argv: readonly string[]): Promise<number> {
  const about =
    'Settings or firmware for enrolled gateways, a part of them after the other. A gateway checks them, tries them, and takes them back by itself when it does not do well with them; too many of those halt the rollout.';
  return runAdmin('rollouts', about, commands, argv);
}
