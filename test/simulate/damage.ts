import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { World } from './world.ts';

// What a bad card, a file system after a power cut or a careless hand does to the files of a log while no process has
// them. One file at a time: when the log and what is kept beside it are both gone, nobody can know that there was one.

const pageBytes = 4096;

interface Damage {
  readonly name: string;
  readonly file: 'wal.db' | 'wal.db-wal' | 'wal.mark';
  readonly make: (path: string, sizeBytes: number, world: World) => void;
}

const within = (world: World, bytes: number): number => Math.floor(world.random() * bytes);

const cut = (path: string, sizeBytes: number, world: World): void =>
  truncateSync(path, within(world, sizeBytes));

const flipBit = (path: string, sizeBytes: number, world: World): void => {
  const at = within(world, sizeBytes);
  overwrite(path, at, 1, (byte) => byte ^ (1 << within(world, 8)));
};

const spoilPage = (path: string, sizeBytes: number, world: World): void => {
  const at = within(world, sizeBytes);
  const start = at - (at % pageBytes);
  overwrite(path, start, Math.min(pageBytes, sizeBytes - start), (byte) => byte ^ 0x5a);
};

const damages: readonly Damage[] = [
  { name: 'a bit of the database flipped', file: 'wal.db', make: flipBit },
  { name: 'a page of the database spoiled', file: 'wal.db', make: spoilPage },
  { name: 'the database cut', file: 'wal.db', make: cut },
  { name: 'the database lost', file: 'wal.db', make: (path) => rmSync(path) },
  { name: 'a bit of the -wal file flipped', file: 'wal.db-wal', make: flipBit },
  { name: 'the -wal file torn', file: 'wal.db-wal', make: cut },
  { name: 'the -wal file lost', file: 'wal.db-wal', make: (path) => rmSync(path) },
  { name: 'a bit of the mark flipped', file: 'wal.mark', make: flipBit },
];

export const damageNames: readonly string[] = damages.map(({ name }) => name);

/** Damages one file of the log in `dataDir`; returns what was done, or undefined when the file is not there. */
export function damageLog(dataDir: string, world: World): string | undefined {
  const damage = world.pick(damages);
  if (damage === undefined) return undefined;
  const path = join(dataDir, damage.file);
  const sizeBytes = existsSync(path) ? statSync(path).size : 0;
  if (sizeBytes === 0) return undefined;
  damage.make(path, sizeBytes, world);
  return damage.name;
}

function overwrite(path: string, at: number, length: number, change: (byte: number) => number): void {
  const file = openSync(path, 'r+');
  try {
    const bytes = Buffer.alloc(length);
    readSync(file, bytes, 0, length, at);
    writeSync(file, bytes.map(change), 0, length, at);
  } finally {
    closeSync(file);
  }
}
