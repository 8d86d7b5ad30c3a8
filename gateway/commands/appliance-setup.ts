import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, type CommandLine, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { sayOnConsoles } from '../appliance/consoles.ts';
import { placesUnder } from '../appliance/places.ts';
import { type SetUp, setUpAppliance } from '../appliance/setup.ts';
import { readRelease } from '../appliance/update-record.ts';
import { printEnrollment } from '../fleet/enrollment-state.ts';

export const rootFlag = {
  flag: '--root',
  value: 'FOLDER',
  description: 'Folder that stands for the root of the appliance (default /)',
};

const command: Command = {
  name: 'firn appliance setup',
  about:
    'Run by an appliance at each start, before its gateway: takes the personalisation file from the boot partition, makes\n' +
    'the secrets that are missing, and says what this device is. It can be run again at any time.',
  flags: [rootFlag, jsonFlag],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const root = line.value('--root');
    const places = placesUnder(root ?? '/');
    const machine = { hardwareId: hardwareId(places.devices), random: randomBytes, group: groupOf('firn') };
    const result = await setUpAppliance(places, {
      ...machine,
      group: root === undefined ? machine.group : undefined,
    });
    if (root === undefined) writeFileSync('/proc/sys/kernel/hostname', result.hostname);
    const { version } = readRelease(places);
    if (line.isSet('--json'))
      process.stdout.write(`${JSON.stringify({ ...result, firstUser: result.firstUser?.name, version })}\n`);
    else say(line, banner(result, version));
    return 0;
  });
}

/** On the consoles; with another root here. */
export const say = (line: CommandLine, text: string): void =>
  line.value('--root') === undefined ? sayOnConsoles(text) : void process.stdout.write(text);

/** The address of the first network card: it stays when cards, disks and names are changed. */
function hardwareId(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const addresses = readdirSync(folder)
    .filter((name) => existsSync(join(folder, name, 'device')))
    .map((name) =>
      readFileSync(join(folder, name, 'address'), 'utf8')
        .trim()
        .replaceAll(':', ''),
    )
    .filter((address) => /^[0-9a-f]{12}$/.test(address) && address !== '000000000000');
  return addresses.sort()[0];
}

function groupOf(name: string): number | undefined {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${name}:`));
  return line === undefined ? undefined : Number(line.split(':')[2]);
}

/** For the console, where the person stands who switched it on. There is no network yet: its addresses come with `firn update confirm`. */
function banner(setUp: SetUp, version: string): string {
  const { tenant, site, gateway, hostname, problem, firstUser, isWaiting, enrollment } = setUp;
  const lines = [
    `Firn ${version} on ${hostname}`,
    isWaiting ? '  not enrolled with its cloud yet' : `  tenant ${tenant}, site ${site}, gateway ${gateway}`,
    `  MQTT: port 1883 of ${hostname}.local`,
    ...(firstUser === undefined
      ? []
      : [
          `  user ${firstUser.name}, password ${firstUser.password}, for MQTT, SQL and https://${hostname}.local:8480`,
        ]),
    ...(problem === undefined ? [] : [`  the personalisation file was not taken: ${problem}`]),
  ];
  const waiting = isWaiting && enrollment?.kind === 'waiting' ? `\n${printEnrollment(enrollment)}` : '';
  return `\n${lines.join('\n')}\n${waiting}\n`;
}
