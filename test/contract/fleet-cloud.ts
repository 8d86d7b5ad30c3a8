import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { Hono } from 'hono';
import { openFleet } from '../../cloud/fleet/open-fleet.ts';
import type { Uploads } from '../../cloud/fleet/uploads.ts';
import type { AdoptionLimits } from '../../cloud/fleet/waiting-devices.ts';
import type { Access } from '../../cloud/tenants/access.ts';
import { openTenantStore, type TenantStore } from '../../cloud/tenants/tenant-store.ts';
import { startHttpServer } from '../../lake/api/http-server.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { type Authority, openAuthority } from '../../provisioning/authority-files.ts';

// The part of the cloud that is about gateways, over real HTTP and on a clock that the test moves.

export interface MovedClock extends Clock {
  pass(ms: number): void;
}

/** Sleeps end when they are aborted, and no earlier. */
export function movedClock(startMs: number): MovedClock {
  let nowMs = startMs;
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: (_, signal) =>
      new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

export interface FleetCloud extends AsyncDisposable {
  readonly url: string;
  readonly store: TenantStore;
  readonly authority: Authority;
  /** Reports are written and rollouts moved on, as happens by itself every few seconds. */
  flush(): Promise<void>;
  /** As an operator; `data` of the answer, or what it says is wrong. */
  admin<T>(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    tenant?: 'acme' | 'other',
  ): Promise<T>;
}

const operator: Access = {
  ...{ keyId: 'operator', tenant: undefined, scopes: new Set(['operator'] as const), restriction: undefined },
};

/** With the tenants `acme` and `other`. */
export async function openFleetCloud(
  folder: string,
  clock: Clock,
  options: { readonly database?: string; readonly uploads?: Uploads } & Partial<AdoptionLimits> = {},
): Promise<FleetCloud> {
  const { uploads, adoptionsPerSecondMax = 0, adoptionsPerSecondPerAddressMax = 0, ...stored } = options;
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(folder, 'cloud-'));
  const store = stack.use(await openTenantStore({ directory, clock, ...stored }));
  const me = { name: 'test', address: '' };
  for (const tenant of ['acme', 'other']) await store.createTenant(tenantId(tenant), me);
  const authority = await openAuthority(join(directory, 'authority'), clock.nowMs(), createLogger('silent'));
  const fleet = stack.use(
    await openFleet({
      ...{ store, authority, certificateDays: 90, publicUrl: '' },
      uploads: uploads ?? {
        placeFor: () => Promise.reject(new Error('none')),
        sign: () => Promise.reject(new Error('none')),
        [Symbol.dispose]: () => undefined,
      },
      ...{ heartbeatSeconds: 30, logger: createLogger('silent') },
      ...{ adoptionsPerSecondMax, adoptionsPerSecondPerAddressMax },
      ...{ accessOf: () => operator, addressOf: () => '192.0.2.1' },
    }),
  );
  const app = new Hono();
  app.route('/', fleet.devices);
  app.route('/', fleet.admin);
  const { port } = stack.use(await startHttpServer(app, { host: '127.0.0.1', port: 0 }));
  const url = `http://127.0.0.1:${port}`;
  const open = stack.move();
  return {
    ...{ url, store, authority, flush: fleet.flush },
    admin: async <T>(method: string, path: string, body?: object, tenant = 'acme'): Promise<T> => {
      const sent = body && { body: JSON.stringify(body) };
      const response = await fetch(`${url}/api/v1/firn/admin/tenants/${tenant}${path}`, { method, ...sent });
      const answer = (await response.json()) as { data: T; error?: string };
      if (!response.ok) throw new Error(`${response.status} ${answer.error}`);
      return answer.data;
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
