import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './firn.ts';
import { waitFor } from './process.ts';
import { findProgram } from './programs.ts';

// A file system on a disk that forgets what was not flushed when its power is cut: killing a process, or a virtual
// machine, leaves the host's page cache alive. The disk is volatile-disk-process.ts; nbdfuse shows it as a file, a loop
// device makes it a block device (this needs no NBD in the kernel), and ext4 with its usual options lives on that.

export interface VolatileDisk extends AsyncDisposable {
  /** Where it is mounted while the power is on. */
  readonly path: string;
  powerOn(): Promise<void>;
  /**
   * The disk stops at once, or in the midst of its next flush. Of the blocks that were not flushed, a random share
   * survives (0: none). Processes that use it get I/O errors until they are killed, which must be before `powerOn`.
   */
  cutPower(cut?: { readonly seed: number; readonly share: number; readonly atFlush: boolean }): Promise<Cut>;
}

interface Cut {
  /** Blocks of 4 KiB that were written and not flushed. */
  readonly unflushed: number;
  readonly survived: number;
}

const programs = ['nbdfuse', 'losetup', 'mkfs.ext4', 'mount', 'umount', 'fusermount3'];

/** Why this machine can't have one, if so. */
export const volatileDiskMissing: string | undefined =
  process.getuid?.() !== 0
    ? 'it needs root'
    : (['/dev/fuse', '/dev/loop-control'].find((path) => !existsSync(path)) ??
      programs.find((name) => findProgram(name) === undefined));

export async function createVolatileDisk(folder: string, sizeMebibytes: number): Promise<VolatileDisk> {
  mkdirSync(folder, { recursive: true });
  const image = join(folder, 'disk.img');
  const path = join(folder, 'mounted');
  writeFileSync(image, '');
  truncateSync(image, sizeMebibytes * 1024 * 1024);
  await must('mkfs.ext4', '-q', '-b', '4096', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image);
  mkdirSync(path, { recursive: true });
  let on: Powered | undefined;
  let times = 0;
  const cutPower: VolatileDisk['cutPower'] = async (cut = { seed: 0, share: 0, atFlush: false }) => {
    const { server } = on ?? { server: undefined };
    if (server === undefined) throw new Error('the power is off');
    const told = once(server, 'message');
    server.send(cut);
    const [result] = (await told) as [Cut];
    await ended(server);
    return result;
  };
  return {
    path,
    cutPower,
    powerOn: async () => {
      if (on) await takeDown(on, path);
      on = await bringUp(image, path, join(folder, `power-${++times}`));
    },
    [Symbol.asyncDispose]: async () => {
      if (on) await takeDown(on, path);
      on = undefined;
    },
  };
}

interface Powered {
  readonly server: ChildProcess;
  readonly fuse: ChildProcess;
  readonly fuseFolder: string;
  readonly loop: string;
}

async function bringUp(image: string, path: string, folder: string): Promise<Powered> {
  const fuseFolder = join(folder, 'fuse');
  mkdirSync(fuseFolder, { recursive: true });
  const socket = join(folder, 'socket');
  const server = fork(join(import.meta.dirname, 'volatile-disk-process.ts'), [image, socket]);
  await once(server, 'message');
  const file = join(fuseFolder, 'disk');
  const fuse = spawn('nbdfuse', [file, `nbd+unix:///?socket=${socket}`], { stdio: 'ignore' });
  await waitFor('nbdfuse', 10_000, async () => (existsSync(file) ? true : undefined));
  const loop = await must('losetup', '--find', '--show', file);
  await must('mount', '-t', 'ext4', loop, path);
  return { server, fuse, fuseFolder, loop };
}

/** Without its disk everything fails but must be let go of; an unmount that flushes is one that finds the disk alive. */
async function takeDown({ server, fuse, fuseFolder, loop }: Powered, path: string): Promise<void> {
  await waitFor(`umount ${path}`, 10_000, async () =>
    (await run('umount', [path])).code === 0 ? true : undefined,
  );
  await must('losetup', '--detach', loop);
  await run('fusermount3', ['-u', fuseFolder]);
  await ended(fuse);
  server.kill('SIGKILL');
  await ended(server);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function must(command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout.trim();
}
