import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { FirnError, messageOf } from './errors.ts';

// Checks made before anything opens, so that a process that can't run leaves nothing half started.

/** Makes the folder (0700) if need be and proves that files can be written there. Throws FirnError `invalid`. */
export function checkFolder(path: string, flag: string): void {
  const probe = join(path, `.firn-probe-${process.pid}`);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (cause) {
    throw new FirnError({
      code: 'invalid',
      operation: 'check folder',
      subject: path,
      message: `the folder ${path} can't be written: ${messageOf(cause)}`,
      hint: `choose another with ${flag} DIR, or make it writable for this user`,
      cause,
    });
  }
}

/** Proves that each port (0: any) can be bound, and is given once. Throws FirnError `invalid` that names the first bad one. */
export async function checkPorts(host: string, ports: Readonly<Record<string, number>>): Promise<void> {
  const flagOf = new Map<number, string>();
  for (const [flag, port] of Object.entries(ports)) {
    if (port === 0) continue;
    const other = flagOf.get(port);
    if (other !== undefined) throw givenTwice(host, port, other, flag);
    flagOf.set(port, flag);
    await checkPort(host, port, flag);
  }
}

const givenTwice = (host: string, port: number, first: string, second: string): FirnError =>
  new FirnError({
    code: 'invalid',
    operation: 'check port',
    subject: `${host}:${port}`,
    message: `port ${port} is given twice, by ${first} and ${second}`,
    hint: `choose another with ${second} PORT (0 takes a free one)`,
  });

async function checkPort(host: string, port: number, flag: string): Promise<void> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
  } catch (cause) {
    const busy = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
    throw new FirnError({
      code: 'invalid',
      operation: 'check port',
      subject: `${host}:${port}`,
      message: busy
        ? `port ${port} is in use on ${host}`
        : `can't listen on ${host}:${port}: ${messageOf(cause)}`,
      hint: `choose another with ${flag} PORT (0 takes a free one)`,
      cause,
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
