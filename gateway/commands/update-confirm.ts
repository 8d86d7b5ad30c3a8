import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { systemClock } from '../../lake/base/clock.ts';
import { type Command, type CommandLine, runCommand } from '../../lake/base/command.ts';
import { type AskGateway, healthChecks, isWaiting, pushLine } from '../appliance/checks.ts';
import { confirmUpdate, type Verdict } from '../appliance/confirm-update.ts';
import { sayOnConsoles } from '../appliance/consoles.ts';
import { placesUnder } from '../appliance/places.ts';
import { raucSlots } from '../appliance/rauc.ts';
import { shippedSoFar } from '../appliance/shipped.ts';
import { deviceAccess } from '../security/device-access.ts';
import { applianceConfig } from './appliance-config.ts';

const command: Command = {
  name: 'firn update confirm',
  about:
    'Run by an appliance after each start: checks that the broker answers, that what is sent is stored, that queries are\n' +
    'answered, that the disk takes data, and that shipments leave if they did before an update. A new version that does not\n' +
    'pass is left for the one before. What came of an update is a line in the logs, {job="firn-update"}, here and in the cloud.',
  flags: [{ flag: '--limit-seconds', value: 'N', description: 'How long a new version has (default 300)' }],
  positionals: [],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, confirm);
}

/** By the addresses that this machine has now. */
const pages = (port: number): string[] =>
  Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4')
    .map(({ address }) => `https://${address}:${port}`);

const said: Readonly<Record<Verdict, string>> = {
  kept: 'this version is kept',
  confirmed: 'this version is confirmed',
  'went back': 'this version is not healthy: the one before comes back',
};

async function confirm(line: CommandLine): Promise<number> {
  const places = placesUnder('/');
  const config = applianceConfig(places);
  // Looked up each time: the gateway makes its secret when it starts.
  const ask: AskGateway = (path, init) => {
    const { url, headers } = deviceAccess(config);
    return fetch(`${url}${path}`, { ...init, headers: { ...headers, ...(init?.headers as object) } });
  };
  const { dataDir, mqtt } = config;
  const checks = healthChecks({
    mqttPort: mqtt.port,
    ask,
    dataDir,
    shipped: () => shippedSoFar(config),
  });
  const verdict = await confirmUpdate({
    ...{ slots: raucSlots(), places, checks, clock: systemClock, intervalMs: 2000 },
    limitMs: Number(line.value('--limit-seconds') ?? 300) * 1000,
    tell: async (level, text) => {
      sayOnConsoles(`firn: ${text}\n`);
      if (await isWaiting(ask)) return; // it takes no lines yet
      await pushLine(ask, { job: 'firn-update', level }, text);
    },
    restart: async () => void execFileSync('systemctl', ['reboot']),
  });
  sayOnConsoles(`firn: ${said[verdict]}\n`);
  if (verdict !== 'went back')
    for (const page of pages(config.http.port)) sayOnConsoles(`firn: its page is ${page}\n`);
  return 0;
}
