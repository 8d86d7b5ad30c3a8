import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { systemClock } from '../../lake/base/clock.ts';
import { type Command, type CommandLine, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { noBirthStore } from '../../lake/receive/sparkplug/edge-nodes.ts';
import { sparkplugHost, sparkplugLimits } from '../../lake/receive/sparkplug/host.ts';
import { parseCaptureLine } from '../broker/capture-file.ts';
import { createDryRun, printDryRun } from '../broker/dry-run.ts';
import { openRules } from '../broker/rules-file.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { listen, liveFlags, refused, type Take } from './live-broker.ts';

// `firn mqtt dry-run`.

const command: Command = {
  name: 'firn mqtt dry-run',
  about:
    'Shows which series mapping rules would make of messages, and how many, before they are switched on. Nothing is stored.\n' +
    "A capture has a JSON object a line, with topic, payload, retain and tst: what firn mqtt capture writes, or\nmosquitto_sub -t '#' -F %j.",
  flags: [
    { flag: '--rules', value: 'FILE', description: 'Rules to try; the configured ones when not given' },
    { flag: '--capture', value: 'FILE', description: 'Messages that were captured' },
    ...liveFlags,
    jsonFlag,
  ],
  positionals: [],
  settings: gatewaySettings,
};

export async function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { mqtt: settings } = loadGatewayConfig(line.rest);
    const file = line.value('--rules');
    const rules = file === undefined ? openRules(settings.rules, settings.rulesFile) : openRules([], file);
    const sparkplug = sparkplugHost({
      ...{ ...sparkplugLimits, valuesPerPayloadMax: mqttLimits.valuesPerPayloadMax },
      ...{ store: noBirthStore, askRebirth: () => undefined },
    });
    const all = settings.sparkplug.enabled ? [sparkplug, ...rules] : rules;
    const run = createDryRun(all, settings.templates, systemClock);
    const path = captureOf(line);
    await (path === undefined ? listen(line, run.take) : readCapture(path, run.take));
    const report = run.report();
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify(report)}\n` : printDryRun(report));
    return 0;
  });
}

/** The file; undefined: live messages are asked for. */
function captureOf(line: CommandLine): string | undefined {
  const path = line.value('--capture');
  const hint = 'give either --capture FILE or --broker URL';
  const given = liveFlags.map(({ flag }) => flag).filter((flag) => line.value(flag) !== undefined);
  if (path === undefined && !given.includes('--broker'))
    throw refused('--capture', 'there are no messages to try rules on', hint);
  if (path !== undefined && given[0] !== undefined)
    throw refused(given[0], `${given[0]} does not go with --capture`, hint);
  return path;
}

async function readCapture(path: string, take: Take): Promise<void> {
  const input = createReadStream(path);
  try {
    await once(input, 'ready');
  } catch (error) {
    throw refused('--capture', `--capture: ${messageOf(error)}`, 'firn mqtt capture writes such a file');
  }
  let line = 0;
  for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    line++;
    if (text.trim() === '') continue;
    const { topic, payload, retain, receivedUs } = parseCaptureLine(text, line);
    take(topic, payload, retain, receivedUs);
  }
}
