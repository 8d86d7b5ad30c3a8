import assert from 'node:assert';
import { createReadStream, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parseClaim, printClaim } from '../../provisioning/contract.ts';
import { call } from '../harness/firn.ts';
import { bundleOf, type Fault } from './bundles.ts';
import { type HostCloud, here, startCloud } from './cloud.ts';
import { healthy, personalisedDisk } from './device.ts';
import { startMachine } from './machine.ts';
import type { Context } from './main.ts';

interface Rollout {
  readonly number: number;
  readonly state: string;
  readonly detail: string;
}

/**
 * Updates by a cloud on this computer: the device enrolls with a claim, a rollout brings a good version, and a second one
 * a version that is not healthy; it is taken back, and the rollout is halted.
 */
export async function rolloutScenario(context: Context): Promise<void> {
  const { architecture, work, say } = context;
  await using stack = new AsyncDisposableStack();
  const cloud = stack.use(await startCloud(work, ['--fleet-heartbeat-seconds', '5']));
  const admin = administration(cloud);
  const [made] = await admin<{ claim: string }[]>('/claims', { site: 'plant-7', gateway: 'press' });
  const claim = printClaim({ ...parseClaim(made?.claim ?? ''), url: cloud.url });
  const disk = await personalisedDisk(context, `claim: ${claim}\n`);
  const machine = await startMachine({ architecture, work, disk: { file: disk } });
  stack.defer(() => machine.kill());
  await healthy(machine);
  say('enrolled, and healthy');

  for (const [version, fault, expected] of [
    ['0.2.0', 'none', /^done $/],
    ['0.3.0', 'unhealthy', /^halted .*press/],
  ] as const satisfies readonly [string, Fault, RegExp][]) {
    await using bundles = await serve(await bundleOf(context, version, fault));
    const url = `http://${here}:${bundles.port}/firn-${version}-{architecture}.raucb`;
    const plan = { stages: [100], bakeSeconds: 0 };
    const began = Date.now();
    const { number } = await admin<Rollout>('/rollouts', { firmware: { version, url }, ...plan });
    let ended = '';
    while (!expected.test(ended)) {
      if (Date.now() - began > 2_700_000) throw new Error(`rollout ${number} is ${ended}`);
      await delay(5000);
      const found = (await admin<Rollout[]>('/rollouts')).find((each) => each.number === number);
      ended = found?.state === 'running' ? '' : `${found?.state} ${found?.detail}`;
      if (ended !== '') assert.match(ended, expected);
    }
    const gateway = await admin<{ report: { firmware: object } }>('/gateways/press');
    say(
      `${version}: ${ended} after ${((Date.now() - began) / 1000).toFixed(0)} s; ${JSON.stringify(gateway.report.firmware)}`,
    );
  }
}

function administration({ port, key }: HostCloud) {
  return async <T>(path: string, body?: object): Promise<T> => {
    const sent = body && { method: 'POST', body: JSON.stringify(body) };
    const answer = await call(`http://127.0.0.1:${port}/api/v1/firn/admin/tenants/demo${path}`, key, sent);
    const { data, error } = (await answer.json()) as { data: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return data;
  };
}

/** Serves one file over HTTP, whole or from where it is asked for on. */
async function serve(file: string): Promise<{ readonly port: number } & AsyncDisposable> {
  const { size } = statSync(file);
  const server: Server = createServer((request, response) => {
    const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
    const start = Number(from ?? 0);
    response.writeHead(from === undefined ? 200 : 206, { 'content-length': size - start });
    pipeline(createReadStream(file, { start }), response).catch(() => undefined); // the device asks again
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
