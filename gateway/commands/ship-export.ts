import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { openStick } from '../../lake/bundle/stick.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { type ExportResult, exportToStick } from '../ship/export/export-to-stick.ts';
import { gatewayUrlFlag, openSource } from './open-source.ts';
import { receiptText } from './receipt-text.ts';

const command: Command = {
  name: 'firn ship export',
  about:
    'On a gateway: writes everything that the cloud has not confirmed to a stick, as signed bundles, and takes the receipt that is on the stick. Works beside a gateway that runs and without one. Give it the configuration of the gateway.',
  flags: [
    { flag: '--to', value: 'DIR', required: true, description: 'Where the stick is mounted' },
    { flag: '--new', description: 'Only what has never been exported' },
    { flag: '--prune', description: 'Remove bundles from the stick that its receipt covers' },
    gatewayUrlFlag,
    jsonFlag,
  ],
  positionals: [],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const config = loadGatewayConfig(line.rest);
    const stick = await openStick(line.value('--to') ?? '');
    await using stack = new AsyncDisposableStack();
    const source = await openSource(config, line.value('--gateway-url'), stack);
    const result = await exportToStick({
      ...{ source, stick, bundleBytesMax: config.ship.bundleBytesMax },
      onlyNew: line.isSet('--new'),
      prune: line.isSet('--prune'),
    });
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(result)}\n`);
    else print(result);
    return result.problems.length === 0 ? 0 : 1;
  });
}

function print({ bundles, present, pruned, receipt, problems }: ExportResult): void {
  const lines: string[] = [];
  if (receipt) lines.push(receiptText(receipt));
  for (const folder of pruned) lines.push(`${folder}: removed`);
  for (const { folder, first, last, bytes } of bundles)
    lines.push(`${folder}: ${last - first + 1} shipments, ${bytes} bytes`);
  if (bundles.length === 0)
    lines.push(present > 0 ? 'all there is to export is on the stick' : 'there is nothing to export');
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  for (const { message, hint } of problems)
    process.stderr.write(`${command.name}: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`);
}
