import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { connectAsync } from 'mqtt';
import { afterAll, describe, expect, test } from 'vitest';
import { makeRole, s3Missing, startS3 } from '../contract/s3-server.ts';
import { call, promql, readKey, sql, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { makeBucket, s3StoreArgs } from '../harness/s3-site.ts';

// The whole path over a real S3 server, with two tenants in one bucket.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

async function claimOf(base: string, dataDir: string, tenant: string): Promise<string> {
  const key = readKey(join(dataDir, 'keys', `${tenant}.key`));
  const init = { method: 'POST', body: JSON.stringify({ site: 'north' }) };
  const answer = await call(`${base}/api/v1/firn/admin/tenants/${tenant}/claims`, key, init);
  const { data } = (await answer.json()) as { data: { claim: string }[] };
  return data[0]?.claim ?? '';
}

describe.skipIf(s3Missing)(`over S3${s3Missing ? ` (skipped: ${s3Missing})` : ''}`, () => {
  test.each(['sessions', 'signed requests'])(
    'readings of two tenants reach their own tables, and no other: %s',
    { timeout: 240_000 },
    async (gives) => {
      await using s3 = await startS3();
      const dataOf = (name: string): string => join(folder.path, gives, name);
      const credentials = { accessKeyId: s3.accessKey, secretAccessKey: s3.secretKey };
      const client = new S3Client({
        endpoint: s3.endpoint,
        region: 'us-east-1',
        forcePathStyle: true,
        credentials,
      });
      await client.send(new CreateBucketCommand({ Bucket: 'lake' }));
      client.destroy();
      const store = [
        ...[
          '--store-kind',
          's3',
          '--store-endpoint',
          s3.endpoint,
          '--store-bucket',
          'lake',
          '--store-prefix',
          'firn',
        ],
        ...['--store-access-key-id', s3.accessKey, '--store-secret-access-key', s3.secretKey],
      ];
      await using cloud = await startPart('cloud', [
        ...['--data-dir', dataOf('cloud'), '--tenants', '["acme","globex"]', ...store],
        ...(gives === 'sessions' ? ['--fleet-upload-role-arn', await makeRole(s3, 'upload')] : []),
      ]);
      const base = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
      for (const [tenant, value] of [
        ['acme', '1'],
        ['globex', '2'],
      ] as const) {
        const enrolled = [
          ...[
            '--store-kind',
            'cloud',
            '--cloud-url',
            base,
            '--cloud-claim',
            await claimOf(base, dataOf('cloud'), 'globex'),
          ],
        ];
        await using gateway = await startPart('gateway', [
          ...['--data-dir', dataOf(tenant)],
          // One has keys of the bucket, the other what the cloud gives it.
          ...(tenant === 'acme' ? ['--tenant', tenant, ...store] : enrolled),
        ]);
        const mqtt = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
        await mqtt.publishAsync('plant/line1/temperature', value, { qos: 1 });
        await mqtt.publishAsync('plant/line1/log', `from ${tenant}`, { qos: 1 });
        await mqtt.endAsync();
        await gateway.stop();
      }
      for (const [tenant, value] of [
        ['acme', '1'],
        ['globex', '2'],
      ] as const) {
        const key = readKey(join(dataOf('cloud'), 'keys', `${tenant}.key`));
        const found = await waitFor(`the cloud to have ${tenant}'s reading`, 30_000, async () => {
          const { result } = (await promql(base, 'temperature', key)).data;
          return result.length > 0 ? result : undefined;
        });
        expect(found.map((series) => series.value[1])).toEqual([value]);
        const sql = async (text: string) => {
          const answer = await call(`${base}/api/v1/firn/sql`, key, { method: 'POST', body: text });
          return { status: answer.status, text: await answer.text() };
        };
        expect((await sql('SELECT line FROM logs')).text).toContain(`"rows":[["from ${tenant}"]]`);
        const other = tenant === 'acme' ? 'globex' : 'acme';
        for (const attempt of [
          `SELECT * FROM read_parquet('${join(dataOf('cloud'), 'cache', other)}/**')`,
          `SELECT * FROM '${join(dataOf('cloud'), 'cache', other)}/x.parquet'`,
          `SELECT * FROM glob('${folder.path}/**')`,
          `SELECT * FROM read_text('${join(dataOf('cloud'), 'tenants.db')}')`,
          `SELECT * FROM ${other}.metrics`,
        ]) {
          expect(await sql(attempt)).toMatchObject({ status: 400 });
        }
      }
    },
  );

  test('what is sent to the cloud itself is in the bucket once, also after kill -9', {
    timeout: 240_000,
  }, async () => {
    await using s3 = await startS3();
    await makeBucket(s3, 'direct');
    const dataDir = join(folder.path, 'direct', 'cloud');
    const args = ['--data-dir', dataDir, ...s3StoreArgs(s3, 'direct', s3.endpoint)];
    const killed = await startPart('cloud', args);
    const key = readKey(join(dataDir, 'keys', 'demo.key'));
    const sent = await call(`http://127.0.0.1:${killed.port('cloudHttp')}/api/v2/write?bucket=b`, key, {
      ...{ method: 'POST', body: 'heat value=7' },
    });
    expect(sent.status).toBe(204);
    await killed.kill();
    await using cloud = await startPart('cloud', args);
    const rows = await waitFor('the row in the lake', 60_000, async () => {
      const url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
      const found = await sql(url, "SELECT value, site FROM metrics WHERE name = 'heat'", key);
      return found.length > 0 ? found : undefined;
    });
    expect(rows).toEqual([[7, 'cloud']]);
  });
});
