import { connectAsync } from 'mqtt';
import { expect, test } from 'vitest';
import { remoteWriteBodies } from '../bench/remote-write-load.ts';
import { call, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';

// A gateway that nobody fetches anything from, with a small disk budget: it drops logs before metrics and alarms not at
// all, says what is missing, and in the end refuses. What it acknowledged is there or on record as missing.

test('the disk never fills: classes go in their order, and every acknowledged row is there or in a gap', async () => {
  using folder = temporaryFolder();
  const budgetBytes = 4_000_000;
  const gateway = await startPart('gateway', [
    ...[
      '--data-dir',
      folder.path,
      '--disk-budget-bytes',
      String(budgetBytes),
      '--disk-check-interval-ms',
      '200',
    ],
    ...['--seal-interval-ms', '500', '--health-interval-ms', '3600000', '--log-level', 'error'],
  ]);
  await using _ = gateway;
  const http = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
  const sql = async (text: string): Promise<Record<string, string | number>[]> => {
    const answer = await call(`${http}/api/v1/firn/sql`, undefined, { method: 'POST', body: text });
    const { columns, rows } = (await answer.json()) as {
      columns: { name: string }[];
      rows: (string | number)[][];
    };
    return rows.map((row) => Object.fromEntries(columns.map(({ name }, at) => [name, row[at] ?? ''])));
  };
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  const noise = () =>
    Array.from({ length: 1500 }, () => String.fromCharCode(33 + Math.random() * 90)).join('');
  let lines = 0;
  for (; lines < 300; lines++) await client.publishAsync('plant/log', noise(), { qos: 1 });
  for (let alarm = 0; alarm < 50; alarm++)
    await client.publishAsync('plant/alarms/door', String(alarm), { qos: 1 });

  let samples = 0;
  let refused: Response | undefined;
  const bodies = remoteWriteBodies({
    ...{ series: 2000, samplesPerSeries: 400, seriesPerRequest: 2000 },
    ...{ startMs: Date.now() - 400_000, stepMs: 1000 },
  });
  for (const body of bodies) {
    const answer = await call(`${http}/api/v1/write`, undefined, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
      body: Buffer.from(body),
    });
    if (answer.status === 204) samples += 2000;
    else refused = answer;
    if (refused !== undefined && samples > 200_000) break;
  }
  await waitFor('the ladder to settle', 60_000, async () => {
    const [status] = await sql(`SELECT count(*) AS n FROM gaps WHERE signal = 'logs'`);
    return Number(status?.n) > 0 ? true : undefined;
  });
  const gaps = await sql(
    `SELECT signal, class, reason, sum(rows) AS missing FROM gaps GROUP BY signal, class, reason ORDER BY signal`,
  );
  const missing = (signal: string): number =>
    gaps.filter((gap) => gap.signal === signal).reduce((sum, gap) => sum + Number(gap.missing), 0);
  const count = async (from: string): Promise<number> =>
    Number((await sql(`SELECT count(*) AS n FROM ${from}`))[0]?.n);
  expect(new Set(gaps.map(({ reason }) => reason))).toEqual(new Set(['disk-budget']));
  expect((await count('logs')) + missing('logs')).toBe(lines);
  // The gateway's own readings are samples too, a few dozen at its start.
  const there = (await count(`metrics WHERE name LIKE 'machine%'`)) + missing('metrics');
  expect(there).toBeGreaterThanOrEqual(samples);
  expect(there).toBeLessThan(samples + 200);
  expect(await count(`metrics WHERE name = 'door'`)).toBe(50);
  if (refused !== undefined) {
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  }
  await client.endAsync();
});
