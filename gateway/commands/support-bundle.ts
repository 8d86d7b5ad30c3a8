import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { type Command, type CommandLine, runCommand } from '../../lake/base/command.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { hideSecrets } from '../../provisioning/site-file.ts';
import { gatewayConfigFile, placesUnder } from '../appliance/places.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { deviceAccess } from '../security/device-access.ts';

const execute = promisify(execFile);

const command: Command = {
  name: 'firn support bundle',
  about:
    'Collects in one .tar.gz what a person who helps from afar needs: versions, logs of this start, health, disks, network,\n' +
    'what waits to be shipped, and the configuration with every secret taken out. No measurement is in it. On another\n' +
    'machine than an appliance, give the gateway by --config or --data-dir; what is not there is left out and said.',
  flags: [{ flag: '--out', value: 'FILE', description: 'Where it goes (default firn-support.tar.gz here)' }],
  positionals: [],
  settings: gatewaySettings,
};

/** File in the bundle, and the program that prints it. */
const reports: readonly (readonly [string, string, ...string[]])[] = [
  ['log.txt', 'journalctl', '--boot', '--no-pager', '--lines=20000'],
  ['services.txt', 'systemctl', '--no-pager', '--all', 'list-units', 'firn-*'],
  ['slots.txt', 'rauc', 'status', '--detailed'],
  ['kernel.txt', 'uname', '-a'],
  ['disks.txt', 'df', '-h'],
  ['mounts.txt', 'cat', '/proc/mounts'],
  ['memory.txt', 'cat', '/proc/meminfo'],
  ['network.txt', 'ip', 'address'],
  ['routes.txt', 'ip', 'route'],
  ['firewall.txt', 'nft', 'list', 'ruleset'],
  ['time.txt', 'timedatectl', 'status'],
];

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, collect);
}

async function collect(line: CommandLine): Promise<number> {
  const out = resolve(line.value('--out') ?? 'firn-support.tar.gz');
  const places = placesUnder('/');
  const onAppliance = existsSync(gatewayConfigFile(places)) && line.rest.length === 0;
  const config = loadGatewayConfig(onAppliance ? ['--config', gatewayConfigFile(places)] : line.rest);
  const work = mkdtempSync(join(tmpdir(), 'firn-support-'));
  try {
    const folder = join(work, 'firn-support');
    mkdirSync(folder);
    const missing: string[] = [];
    const write = async (name: string, make: () => Promise<string>): Promise<void> => {
      try {
        writeFileSync(join(folder, name), await make());
      } catch (error) {
        missing.push(`${name}: ${messageOf(error).split('\n')[0]}`);
      }
    };
    for (const [name, program, ...args] of reports)
      await write(name, async () => (await execute(program, args, { maxBuffer: 64 * 1024 * 1024 })).stdout);
    await write('configuration.yaml', async () =>
      stringify(hideSecrets(config as unknown as Record<string, unknown>)),
    );
    if (onAppliance)
      await write('site.yaml', async () =>
        stringify(hideSecrets(parse(readFileSync(join(places.config, 'site.yaml'), 'utf8')))),
      );
    await write('release.json', async () => readFileSync(places.release, 'utf8'));
    const { url, headers } = deviceAccess(config);
    const health = `${url}/api/v1/query?query=${encodeURIComponent('{__name__=~"firn_gateway_.+"}')}`;
    await write('health.json', async () => (await fetch(health, { headers })).text());
    writeFileSync(join(folder, 'missing.txt'), missing.map((each) => `${each}\n`).join(''));
    mkdirSync(dirname(out), { recursive: true });
    await execute('tar', ['-C', work, '-czf', out, 'firn-support']);
  } finally {
    rmSync(work, { recursive: true });
  }
  process.stdout.write(`${out}\n`);
  return 0;
}
