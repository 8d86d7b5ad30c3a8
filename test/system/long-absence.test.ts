import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { identityFolder, readIdentity } from '../../gateway/fleet/identity.ts';
import { fakeClock } from '../harness/fake-clock.ts';
import { call, type Launch, type Part, readKey, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';

// A gateway that is cut off for 400 days, by the real processes: more than a year of certificates that nobody renewed. The
// days pass by libfaketime, which both processes are started again with.

const dayMs = 86_400_000;
const days = 400;

describe.skipIf(fakeClock === undefined)(
  `400 days offline${fakeClock ? '' : ' (skipped: faketime is not installed)'}`,
  () => {
    const folder = temporaryFolder();
    const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
    const gatewayDir = join(folder.path, 'gateway');
    /** By the monotonic clock, which is not moved, only seconds pass. */
    const believed = ['--clock-trust', 'always'];
    const later: Launch = { env: fakeClock?.ahead(days * dayMs) ?? {} };
    let port = 0;
    let key: { id: string; secret: string };
    let cloud: Part;
    let gateway: Part;

    const startCloud = (launch: Launch = {}): Promise<Part> =>
      startPart(
        'cloud',
        [
          '--data-dir',
          join(folder.path, 'cloud'),
          ...store,
          '--http-port',
          `${port}`,
          '--fleet-heartbeat-seconds',
          '1',
        ],
        launch,
      );
    const startGateway = (more: readonly string[] = [], launch: Launch = {}): Promise<Part> =>
      startPart(
        'gateway',
        ['--data-dir', gatewayDir, ...store, '--seal-interval-ms', '300', ...believed, ...more],
        launch,
      );

    /** `count` rows of a metric, each with another value. */
    const write = async (name: string, count: number): Promise<void> => {
      const body = Array.from({ length: count }, (_, index) => `${name},row=${index} value=${index}`).join(
        '\n',
      );
      const url = `http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v2/write?bucket=b`;
      expect((await fetch(url, { method: 'POST', body })).status).toBe(204);
    };
    /** Rows and different rows of a metric in the cloud. */
    const inCloud = async (name: string): Promise<string> => {
      const text = `SELECT count(*), count(DISTINCT value) FROM metrics WHERE name = '${name}'`;
      return String((await sql(`http://127.0.0.1:${port}`, text, key))[0]);
    };
    const arrived = (name: string, count: number): Promise<unknown> =>
      waitFor(`${name} in the cloud`, 120_000, async () =>
        (await inCloud(name)) === `${count},${count}` ? true : undefined,
      );
    const certificateEndMs = (): number =>
      Date.parse(readIdentity(identityFolder(gatewayDir))?.certificates[0].validTo ?? '');

    beforeAll(async () => {
      port = await freePort();
      cloud = await startCloud();
      key = readKey(String(cloud.ready.keyFile));
      const made = await call(`http://127.0.0.1:${port}/api/v1/firn/admin/tenants/demo/claims`, key, {
        method: 'POST',
        body: JSON.stringify({ site: 'north', gateway: 'press-1' }),
      });
      const { data } = (await made.json()) as { data: { claim: string }[] };
      gateway = await startGateway([
        '--cloud-claim',
        data[0]?.claim ?? '',
        '--cloud-url',
        `http://127.0.0.1:${port}`,
      ]);
    });
    afterAll(async () => {
      await gateway?.stop();
      await cloud?.stop();
      folder[Symbol.dispose]();
    });

    test('renews its certificate, and ships everything exactly once', async () => {
      await write('before', 50);
      await arrived('before', 50);
      expect(certificateEndMs()).toBeLessThan(Date.now() + 120 * dayMs);
      await cloud.stop();
      await write('alone', 500);
      await gateway.kill();

      gateway = await startGateway([], later);
      await write('alone_later', 500); // the certificate is long over, and nobody on site notices
      expect(certificateEndMs()).toBeLessThan(Date.now() + 120 * dayMs);
      cloud = await startCloud(later);
      for (const [name, count] of [
        ['before', 50],
        ['alone', 500],
        ['alone_later', 500],
      ] as const)
        await arrived(name, count);
      await waitFor('another certificate', 60_000, async () =>
        certificateEndMs() > Date.now() + days * dayMs ? true : undefined,
      );
      await write('after', 50);
      await arrived('after', 50);
      expect(await inCloud('before')).toBe('50,50');
      expect(await inCloud('alone')).toBe('500,500');
      const daysOf = async (name: string): Promise<number> => {
        const text = `SELECT extract(epoch FROM max(time)) / 86400 FROM metrics WHERE name = '${name}'`;
        return Number((await sql(`http://127.0.0.1:${port}`, text, key))[0]?.[0]);
      };
      expect((await daysOf('after')) - (await daysOf('alone'))).toBeCloseTo(days, 1);
    });
  },
);
