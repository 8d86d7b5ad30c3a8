import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import mqtt, { type IPublishPacket } from 'mqtt';
import { systemClock } from '../../lake/base/clock.ts';
import { type Command, type CommandLine, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { noBirthStore } from '../../lake/receive/sparkplug/edge-nodes.ts';
import { sparkplugHost, sparkplugLimits } from '../../lake/receive/sparkplug/host.ts';
import { parseCaptureLine } from '../broker/capture-file.ts';
import { createDryRun, printDryRun } from '../broker/dry-run.ts';
import { openRules } from '../broker/rules-file.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';

// `firn mqtt dry-run` and `firn mqtt capture`.

const live = [
  {
    flag: '--broker',
    value: 'URL',
    description: 'Live messages of this broker, such as mqtt://user:password@localhost',
  },
  { flag: '--seconds', value: 'N', description: 'How long to listen to it; 30 when not given' },
  { flag: '--topic', value: 'FILTER', description: 'What to subscribe to; # when not given' },
] as const;

const dryRun: Command = {
  name: 'firn mqtt dry-run',
  about:
    'Shows which series mapping rules would make of messages, and how many, before they are switched on. Nothing is stored.\n' +
    "A capture has a JSON object a line, with topic, payload, retain and tst: what firn mqtt capture writes, or\nmosquitto_sub -t '#' -F %j.",
  flags: [
    { flag: '--rules', value: 'FILE', description: 'Rules to try; the configured ones when not given' },
    { flag: '--capture', value: 'FILE', description: 'Messages that were captured' },
    ...live,
    jsonFlag,
  ],
  positionals: [],
  settings: gatewaySettings,
};

const capture: Command = {
  name: 'firn mqtt capture',
  about: 'Prints the messages of a broker, one JSON object a line, for firn mqtt dry-run --capture.',
  flags: live,
  positionals: [],
  settings: [],
};

/** Receives what was captured or is live; without a time it is received now. */
type Take = (topic: string, payload: Uint8Array, old: boolean, receivedUs?: number) => void;

export async function main(argv: readonly string[]): Promise<number> {
  return runCommand(dryRun, argv, async (line) => {
    const { mqtt: settings } = loadGatewayConfig(line.rest);
    const file = line.value('--rules');
    const rules = file === undefined ? openRules(settings.rules, settings.rulesFile) : openRules([], file);
    const sparkplug = sparkplugHost({
      ...{ ...sparkplugLimits, valuesPerPayloadMax: mqttLimits.valuesPerPayloadMax },
      ...{ store: noBirthStore, askRebirth: () => undefined },
    });
    const all = settings.sparkplug.enabled ? [sparkplug, ...rules] : rules;
    const run = createDryRun(all, settings.templates, systemClock);
    const path = line.value('--capture');
    if ((path === undefined) === (line.value('--broker') === undefined))
      throw refused('--capture', 'give --capture FILE or --broker URL');
    await (path === undefined ? listen(line, run.take) : readCapture(path, run.take));
    const report = run.report();
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify(report)}\n` : printDryRun(report));
    return 0;
  });
}

export async function captureMain(argv: readonly string[]): Promise<number> {
  return runCommand(capture, argv, async (line) => {
    if (line.value('--broker') === undefined) throw refused('--broker', 'give --broker URL');
    await listen(line, (topic, payload, retain) => {
      const tst = new Date(systemClock.nowMs()).toISOString();
      const message = { tst, topic, retain, payloadBase64: Buffer.from(payload).toString('base64') };
      process.stdout.write(`${JSON.stringify(message)}\n`);
    });
    return 0;
  });
}

async function readCapture(path: string, take: Take): Promise<void> {
  let line = 0;
  for await (const text of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    line++;
    if (text.trim() === '') continue;
    const { topic, payload, retain, receivedUs } = parseCaptureLine(text, line);
    take(topic, payload, retain, receivedUs);
  }
}

async function listen(line: CommandLine, take: Take): Promise<void> {
  const seconds = Number(line.value('--seconds') ?? 30);
  if (!(seconds > 0 && seconds <= 86_400)) throw refused('--seconds', 'give a number of seconds up to 86400');
  const client = await mqtt.connectAsync(line.value('--broker') ?? '', {
    reconnectPeriod: 0,
    connectTimeout: 10_000,
  });
  try {
    client.on('message', (topic, payload, { retain }: IPublishPacket) => take(topic, payload, retain));
    await client.subscribeAsync(line.value('--topic') ?? '#', { qos: 0 });
    await systemClock.sleep(seconds * 1000);
  } finally {
    await client.endAsync(true);
  }
}

const refused = (subject: string, hint: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'try MQTT mapping rules', subject },
    message: `${subject} is missing or wrong`,
    hint,
  });
