import { join } from 'node:path';
import { readKey, startPart } from '../harness/firn.ts';
import { freePort } from '../harness/process.ts';

/** The address of this computer for a machine in QEMU. */
export const here = '10.0.2.2';

/** A cloud on this computer that devices in QEMU reach. */
export interface HostCloud extends AsyncDisposable {
  readonly port: number;
  /** For a machine in QEMU. */
  readonly url: string;
  readonly key: { readonly id: string; readonly secret: string };
}

export async function startCloud(work: string, more: readonly string[] = []): Promise<HostCloud> {
  const port = await freePort();
  const url = `http://${here}:${port}`;
  const cloud = await startPart('cloud', [
    ...['--data-dir', join(work, 'cloud'), '--store-kind', 'directory', '--store-path', join(work, 'lake')],
    ...['--http-port', String(port), '--fleet-public-url', url, ...more],
  ]);
  return {
    ...{ port, url },
    key: readKey(String(cloud.ready.keyFile)),
    [Symbol.asyncDispose]: () => cloud[Symbol.asyncDispose](),
  };
}
