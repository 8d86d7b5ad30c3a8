import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lake/base/clock.ts';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { readExported } from '../ship/export/export-state.ts';
import { readShipStatus, type ShipStatus } from '../ship/export/ship-status.ts';
import { noGateway } from './open-source.ts';

const command: Command = {
  name: 'firn ship status',
  about: 'On a gateway: shows what waits to be shipped, by lane, and how far the cloud has confirmed.',
  flags: [jsonFlag],
  positionals: [],
  settings: gatewaySettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const { dataDir, ship } = loadGatewayConfig(line.rest);
    const walPath = join(dataDir, 'wal.db');
    if (!existsSync(walPath)) throw noGateway(dataDir);
    const exported = await readExported(dataDir);
    const nowUs = Math.round(systemClock.nowMs() * 1000);
    const status = readShipStatus(walPath, { nowUs, newestMs: ship.newestMs, exported });
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify(status)}\n` : textOf(status));
    return 0;
  });
}

function textOf({ epoch, waiting, numbered, receipt, committed }: ShipStatus): string {
  const lanes = Object.entries(waiting).map(([lane, { segments, rows, bytes, oldestSealedUs }]) => {
    const since = oldestSealedUs === null ? '' : `, since ${new Date(oldestSealedUs / 1000).toISOString()}`;
    return `  ${lane.padEnd(10)}${segments} segments, ${rows} rows, ${bytes} bytes${since}\n`;
  });
  const range = numbered.first === null ? '' : ` (${numbered.first} to ${numbered.last})`;
  return `waiting for a number
${lanes.join('')}numbered, without a receipt
  ${numbered.shipments} shipments${range}: ${numbered.shipped} in the object store, ${numbered.exported} exported
receipt
  ${receipt === null ? `none in epoch ${epoch}` : `up to shipment ${receipt.number} of epoch ${receipt.epoch}`}
in the cloud, and kept here for the local retention
  ${committed.segments} segments, ${committed.rows} rows, ${committed.bytes} bytes
`;
}
