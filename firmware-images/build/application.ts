import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { Architecture } from './architectures.ts';
import { run } from './run.ts';

// What becomes /opt/firn: the program's sources (Node reads TypeScript), the packages that it needs for the target's
// processor, and Node itself from npm's own package. Nothing is compiled.

const repository = join(import.meta.dirname, '..', '..');
const sourceFolders = ['cli', 'cloud', 'gateway', 'lake', 'provisioning'];

/** Parts of packages that a gateway never loads: other platforms' libraries, sources of what is compiled already. */
const unused = (cpu: Architecture['cpu']): readonly string[] => [
  'better-sqlite3/deps',
  'better-sqlite3/src',
  ...['win32', 'darwin', 'linux'].flatMap((platform) =>
    ['x64', 'arm64', 'arm', 'ia32'].flatMap((each) =>
      [`${platform}-${each}`, `${platform}-${each}-musl`, `${platform}-musl-${each}`]
        .filter((name) => name !== `linux-${cpu}`)
        .map((name) => `better-sqlite3/prebuilds/${name}`),
    ),
  ),
  'apache-arrow/src',
  '.cache',
];

/** Makes the application in `folder`, which is emptied first. */
export async function makeApplication(architecture: Architecture, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const name of ['package.json', 'package-lock.json', 'LICENSE'])
    await cp(join(repository, name), join(folder, name));
  for (const name of sourceFolders)
    await cp(join(repository, name), join(folder, name), { recursive: true, filter: isShipped });
  const target = ['--os=linux', `--cpu=${architecture.cpu}`, '--libc=glibc'];
  await run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', ...target], {
    cwd: folder,
  });
  const modules = join(folder, 'node_modules');
  await assertThere(modules, `node-linux-${architecture.cpu}`);
  await assertThere(modules, `@duckdb/node-bindings-linux-${architecture.cpu}`);
  for (const path of unused(architecture.cpu))
    await rm(join(modules, path), { recursive: true, force: true });
  await removeTypings(modules);
  await run('strip', [join(modules, `node-linux-${architecture.cpu}`, 'bin/node')]).catch(() => {}); // a foreign one stays as it is
}

const isShipped = (path: string): boolean => !/\.(test|fixture)\.ts$/.test(path);

/** npm leaves out an optional package that its registry does not have, and says nothing. */
async function assertThere(modules: string, name: string): Promise<void> {
  if (await readdir(join(modules, name)).catch(() => undefined)) return;
  throw new FirnError({
    code: 'not-found',
    operation: 'collect packages',
    subject: name,
    message: `npm did not install ${name}`,
    hint: 'its version in package-lock.json must exist for this processor too',
  });
}

async function removeTypings(modules: string): Promise<void> {
  for (const entry of await readdir(modules, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && /\.(d\.[cm]?ts|map|md|markdown)$/.test(entry.name))
      await rm(join(entry.parentPath, entry.name));
}
