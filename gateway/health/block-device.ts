import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

// What Linux says about the disk below a folder. Elsewhere, and below folders that are on no disk, it says nothing.

export interface BlockDevice {
  /** `mmcblk0`, `sda`, `nvme0n1`: the whole disk, not a partition of it. */
  readonly name: string;
  readonly sizeBytes: number;
  /** By everything on this machine, since its start. */
  writtenBytes(): Promise<number>;
  /** How much of its life eMMC memory has behind it, 0 to 1; undefined for anything else. */
  lifeUsed(): Promise<number | undefined>;
}

const sectorBytes = 512; // also of disks with larger ones
const writtenSectorsField = 6;

/** `sysDir` is /sys but for tests. */
export async function blockDeviceOf(folder: string, sysDir = '/sys'): Promise<BlockDevice | undefined> {
  const path = await deviceFolder(sysDir, await deviceNumber(folder));
  if (path === undefined) return undefined;
  const read = (name: string): Promise<string> => readFile(join(path, name), 'utf8');
  return {
    name: basename(path),
    sizeBytes: Number(await read('size')) * sectorBytes,
    writtenBytes: async () =>
      Number((await read('stat')).trim().split(/\s+/)[writtenSectorsField]) * sectorBytes,
    lifeUsed: async () => {
      const text = await read('device/life_time').catch(() => undefined);
      return text === undefined ? undefined : lifeUsedOf(text);
    },
  };
}

/** Major and minor number as the kernel prints them, from how stat packs them. */
async function deviceNumber(folder: string): Promise<string> {
  const { dev } = await stat(folder, { bigint: true });
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/** The folder of the whole disk below a partition, an encrypted or a logical volume. */
async function deviceFolder(sysDir: string, number: string): Promise<string | undefined> {
  let path: string;
  try {
    path = await realpath(join(sysDir, 'dev', 'block', number));
  } catch {
    return undefined; // tmpfs, overlay, a network: no disk
  }
  for (let depth = 0; depth < layersMax; depth++) {
    const [below] = await readdir(join(path, 'slaves')).catch(() => []);
    const isPartition = await stat(join(path, 'partition')).then(
      () => true,
      () => false,
    );
    if (below !== undefined) path = await realpath(join(path, 'slaves', below));
    else if (isPartition) path = dirname(path);
    else return path;
  }
  return path;
}

const layersMax = 8;

/** `0x02 0x01`: tenths of the life of its two kinds of memory that are used up, rounded up; 0x00 is not known. */
function lifeUsedOf(text: string): number | undefined {
  const tenths = Math.max(...text.trim().split(/\s+/).map(Number));
  return Number.isFinite(tenths) && tenths > 0 ? Math.min(1, tenths / 10) : undefined;
}
