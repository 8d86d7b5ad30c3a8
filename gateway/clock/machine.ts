import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ClockEvidence, ClockReading } from './time-keeper.ts';

/** The clocks of this machine, and what it knows of them. Replaced in tests and simulations. */
export interface Machine {
  /** The same for all processes from one start of the machine to the next. */
  readonly bootId: string;
  read(): ClockReading;
  evidence(): Promise<ClockEvidence>;
}

const run = promisify(execFile);
const chronycMs = 2000;
/** By chrony's own estimate; more, and it is about to step the clock. */
const chronyOffsetSecondsMax = 1;

/** `root` is / but for tests. */
export function systemMachine(root = '/'): Machine {
  const read = (): ClockReading => ({
    wallUs: Date.now() * 1000,
    monoUs: Number(process.hrtime.bigint() / 1000n),
  });
  const kept = isKept(root);
  return {
    bootId: bootIdOf(root),
    read,
    evidence: async () => {
      const [timesyncdUs, chronyUs, rtcUs] = await Promise.all([
        timesyncdTime(root),
        chronyTime(root, read),
        rtcTime(root),
      ]);
      return { synchronizedUs: timesyncdUs ?? chronyUs, rtcUs, kept };
    },
  };
}

function bootIdOf(root: string): string {
  try {
    return readFileSync(join(root, 'proc/sys/kernel/random/boot_id'), 'utf8').trim();
  } catch {
    // Elsewhere the monotonic clock is not known to go on from process to process either.
    return randomUUID();
  }
}

/** systemd-timesyncd touches this file each time it has set or confirmed the clock; /run is empty after a boot. */
async function timesyncdTime(root: string): Promise<number | undefined> {
  const found = await stat(join(root, 'run/systemd/timesync/synchronized')).catch(() => undefined);
  return found === undefined ? undefined : Math.round(found.mtimeMs * 1000);
}

/** chrony knows at any moment how wrong the clock is, also when someone else has moved it. */
async function chronyTime(root: string, read: () => ClockReading): Promise<number | undefined> {
  if (!existsSync(join(root, 'run/chrony'))) return undefined;
  try {
    const { stdout } = await run('chronyc', ['-n', '-c', 'tracking'], { timeout: chronycMs });
    return isTracking(stdout) ? read().wallUs : undefined;
  } catch {
    return undefined; // not allowed, or not running
  }
}

/** `chronyc -c tracking`: the fifth field is the offset in seconds, the last one the leap status. */
export function isTracking(csv: string): boolean {
  const fields = csv.trim().split(',');
  const offset = Number(fields[4]);
  return fields.at(-1) === 'Normal' && Math.abs(offset) <= chronyOffsetSecondsMax;
}

/** The battery-backed clock has whole seconds. */
async function rtcTime(root: string): Promise<number | undefined> {
  const text = await readFile(join(root, 'sys/class/rtc/rtc0/since_epoch'), 'utf8').catch(() => undefined);
  const seconds = Number(text);
  return text === undefined || !Number.isFinite(seconds) ? undefined : (seconds + 0.5) * 1e6;
}

/**
 * Virtual machines get their time from their host, and other systems than Linux run on machines with a battery. So do
 * x86 machines; one that shows none is a container or a sandbox.
 */
function isKept(root: string): boolean {
  if (process.platform !== 'linux') return true;
  if (existsSync(join(root, 'sys/class/rtc/rtc0'))) return false;
  if (process.arch === 'x64' || process.arch === 'ia32') return true;
  const path = join(root, 'sys/devices/system/clocksource/clocksource0/current_clocksource');
  const source = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return /kvm-clock|hyperv|xen/.test(source);
}
