import { readFile } from 'node:fs/promises';
import type { Clock } from '../../lake/base/clock.ts';
import { type BlockDevice, blockDeviceOf } from './block-device.ts';
import type { Probe, Reading } from './probes.ts';

// How hard the gateway is on its SD card or eMMC. Flash memory wears by being written; a sample of a few bytes costs
// whole pages, again for each fsync.

export interface CardOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  /** Bytes of payloads and bodies that came in since the start. */
  readonly receivedBytes: () => number;
  /** What the card can take in its life; 0: `cyclesOfCard` times its size. */
  readonly cardTotalBytesWritten: number;
  /** /sys and /proc/self/io but for tests. */
  readonly sysDir?: string;
  readonly ioPath?: string;
}

/** Writes of each cell that consumer cards (TLC) are good for, less what the card writes for itself. */
const cyclesOfCard = 1000;
/** Rates are of the last day, or of what there is of it once it is this long. */
const windowMs = 86_400_000;
const windowMsMin = 600_000;
/** Points that are kept: the day in steps of a quarter of an hour. */
const pointMs = 900_000;

interface Point {
  readonly atMs: number;
  readonly writtenBytes: number;
  readonly deviceBytes: number | undefined;
  readonly receivedBytes: number;
}

export function cardProbe(options: CardOptions): Probe {
  const { clock, receivedBytes, cardTotalBytesWritten, dataDir, sysDir, ioPath = '/proc/self/io' } = options;
  let device: Promise<BlockDevice | undefined> | undefined;
  const points: Point[] = [];

  return async () => {
    device ??= blockDeviceOf(dataDir, sysDir);
    const card = await device;
    const now: Point = {
      atMs: clock.monotonicMs(),
      writtenBytes: await writtenByProcess(ioPath),
      deviceBytes: await card?.writtenBytes(),
      receivedBytes: receivedBytes(),
    };
    while (points.length > 1 && now.atMs - (points[1]?.atMs ?? 0) >= windowMs) points.shift();
    const since = points[0] ?? now;
    if (now.atMs - (points.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= pointMs) points.push(now);
    return [...totals(now, card), ...(await rates(since, now, card, cardTotalBytesWritten))];
  };
}

function totals(now: Point, card: BlockDevice | undefined): Reading[] {
  const readings: Reading[] = [
    {
      name: 'disk_written_bytes_total',
      help: 'Bytes that the gateway process wrote to disk.',
      value: now.writtenBytes,
    },
    {
      name: 'received_bytes_total',
      help: 'Bytes of MQTT topics and payloads and of request bodies that were received.',
      value: now.receivedBytes,
    },
  ];
  if (card === undefined || now.deviceBytes === undefined) return readings;
  const help =
    'Bytes that everything on this machine wrote to the disk with the data folder, since it started.';
  const labels = { device: card.name };
  return [...readings, { name: 'disk_device_written_bytes_total', help, value: now.deviceBytes, labels }];
}

async function rates(
  since: Point,
  now: Point,
  card: BlockDevice | undefined,
  cardTotalBytesWritten: number,
): Promise<Reading[]> {
  const readings: Reading[] = [];
  const received = now.receivedBytes - since.receivedBytes;
  if (received > 0)
    readings.push({
      name: 'write_amplification_ratio',
      help: 'Bytes that the gateway wrote to disk for each byte received, over the last day.',
      value: (now.writtenBytes - since.writtenBytes) / received,
    });
  const days = (now.atMs - since.atMs) / 86_400_000;
  if (card === undefined || now.deviceBytes === undefined || now.atMs - since.atMs < windowMsMin)
    return readings;
  const perDay = (now.deviceBytes - (since.deviceBytes ?? now.deviceBytes)) / days;
  const total = cardTotalBytesWritten > 0 ? cardTotalBytesWritten : card.sizeBytes * cyclesOfCard;
  const lifeUsed = await card.lifeUsed();
  const labels = { device: card.name };
  if (lifeUsed !== undefined)
    readings.push({
      name: 'card_life_used_ratio',
      help: 'How much of its life the memory says it has behind it.',
      value: lifeUsed,
      labels,
    });
  if (perDay > 0)
    readings.push({
      name: 'card_life_days',
      help: 'How long the card lasts at the rate of the last day: a new one, unless it knows its age.',
      value: (total * (1 - (lifeUsed ?? 0))) / perDay,
      labels,
    });
  return readings;
}

async function writtenByProcess(ioPath: string): Promise<number> {
  const text = await readFile(ioPath, 'utf8');
  return Number(/^write_bytes: (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
}
