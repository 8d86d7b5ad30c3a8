import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { remoteWriteRoutes } from '../../lake/api/receive/remote-write.ts';
import type { Batch } from '../../lake/model/batch.ts';
import {
  lengthField,
  type WriteSeries,
  writeRequestBody,
} from '../../lake/receive/remote-write/encode.fixture.ts';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';

// The receiver cases of prometheus/compliance and the header cases of Prometheus' own write handler, said in remote
// write 1.0, from the corpus beside the repository.

const corpora = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');
const wire = join(corpora, 'wire', 'prom-remote-write');
const receiverCases = readCases<ReceiverCase>(
  join(corpora, 'promql-compliance', 'dev', 'remote_write_receiver.jsonl'),
);
const headerCases = readCases<HeaderCase>(join(wire, 'dev', 'headers.jsonl'));
const secondVersion = 'io.prometheus.write.v2.Request';

interface ReceiverCase {
  readonly id: string;
  readonly request: {
    readonly samples?: readonly { labels: LabelMap; value: number | string; offset_ms: number }[];
    readonly exemplars?: readonly { labels: LabelMap; exemplar_labels: LabelMap; value: number }[];
    readonly histograms?: readonly unknown[];
    readonly metadata?: readonly { labels: LabelMap; type: string; help?: string; unit?: string }[];
  };
  readonly expect: { samples: number; exemplars: number; exact_status: number | null; success: boolean };
  readonly headers_override?: Record<string, string>;
  /** What was done to the body before sending it: its first byte is replaced. */
  readonly corrupt_body?: string | false;
}

interface HeaderCase {
  readonly id: string;
  readonly name: string;
  readonly body: 'fixture rw1.0' | 'fixture rw2.0';
  readonly headers: Record<string, string>;
  readonly expected_status: number;
}

type LabelMap = Readonly<Record<string, string>>;

describe.skipIf(receiverCases.length === 0)('receiver cases (skipped where the corpus is absent)', () => {
  test('each is answered as it says; what is accepted is stored whole, what is refused not at all', async () => {
    const wrong: string[] = [];
    let ran = 0;
    for (const one of receiverCases) {
      // Native histograms are refused, see below.
      if (one.request.histograms) continue;
      ran++;
      const { status, samples, batches } = await post(bodyOf(one), {
        'Content-Type': 'application/x-protobuf',
        'Content-Encoding': 'snappy',
        ...one.headers_override,
      });
      const wanted = one.expect.success ? 204 : (one.expect.exact_status ?? 400);
      const stored = batches.reduce((sum, batch) => sum + batch.rows, 0);
      const toStore = one.expect.success ? (one.request.samples?.length ?? 0) : 0;
      if (status !== wanted || samples !== toStore || stored !== toStore)
        wrong.push(`${one.id}: ${status} with ${stored} samples, not ${wanted} with ${toStore}`);
    }
    expect(wrong).toEqual([]);
    expect(ran).toBeGreaterThan(90);
  });

  test('a request with native histograms is refused with what to do', async () => {
    const body = readFileSync(join(wire, 'writeRequestFixture.v1.pb.snappy'));
    const { status, text, batches } = await post(body, { 'Content-Encoding': 'snappy' });
    expect([status, batches.length]).toEqual([400, 0]);
    expect(text).toMatch(/native histograms are not supported yet .*send_native_histograms: false/);
  });
});

describe.skipIf(headerCases.length === 0)('header cases (skipped where the corpus is absent)', () => {
  const plain = writeRequestBody([{ labels: [['__name__', 'up']], samples: [[1, 1]] }]);

  test.each(headerCases.filter(({ body }) => body === 'fixture rw1.0'))('1.0, $name', async (one) => {
    expect((await post(plain, one.headers)).status).toBe(one.expected_status);
  });

  test.each(headerCases.filter(({ body }) => body === 'fixture rw2.0'))(
    '2.0, $name: refused',
    async (one) => {
      const { status, text, batches } = await post(
        readFileSync(join(wire, 'writeV2RequestFixture.v2.pb.snappy')),
        one.headers,
      );
      const type = one.headers['Content-Type'];
      const undeclared = type === undefined || type === 'application/x-protobuf';
      expect([status, batches.length]).toEqual([undeclared ? 400 : 415, 0]);
      if (undeclared || type.includes(secondVersion)) expect(text).toContain('send 1.0');
    },
  );
});

function readCases<Case>(path: string): Case[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Case);
}

async function post(body: Uint8Array, headers: Record<string, string>) {
  const batches: Batch[] = [];
  let samples = 0;
  const app = remoteWriteRoutes({
    append: async (batch) => void batches.push(batch),
    cache: createSeriesCache({ identity: [] }),
    limits: remoteWriteLimits,
    onAnswer: (answer) => {
      samples = answer.samples;
    },
  });
  const answer = await app.request('/api/v1/write', { method: 'POST', body: Buffer.from(body), headers });
  return { status: answer.status, text: await answer.text(), samples, batches };
}

function bodyOf({ request, corrupt_body: corrupt }: ReceiverCase): Uint8Array {
  const bySeries = new Map<
    string,
    { labels: LabelMap; samples: [number, number | bigint][]; extra: Uint8Array[] }
  >();
  const seriesOf = (labels: LabelMap) => {
    const key = JSON.stringify(labels);
    const found = bySeries.get(key) ?? { labels, samples: [], extra: [] };
    bySeries.set(key, found);
    return found;
  };
  for (const { labels, value, offset_ms } of request.samples ?? [])
    seriesOf(labels).samples.push([Date.now() + offset_ms, sampleOf(value)]);
  for (const { labels, exemplar_labels, value } of request.exemplars ?? [])
    seriesOf(labels).extra.push(lengthField(3, encodeExemplar(exemplar_labels, value)));
  const series = [...bySeries.values()].map(
    ({ labels, samples, extra }): WriteSeries => ({
      labels: Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)),
      samples,
      extra: Buffer.concat(extra),
    }),
  );
  const metadata = (request.metadata ?? [])
    .filter(({ labels }) => labels.__name__)
    .map(({ labels, type, help = '', unit = '' }) => ({
      name: labels.__name__ ?? '',
      type: types.indexOf(type),
      help,
      unit,
    }));
  const body = Buffer.from(writeRequestBody(series, metadata));
  if (corrupt) body[0] = corrupt.includes('0xFF') ? 0xff : 0x30;
  return body;
}

const types = [
  'UNSPECIFIED',
  'COUNTER',
  'GAUGE',
  'HISTOGRAM',
  'GAUGEHISTOGRAM',
  'SUMMARY',
  'INFO',
  'STATESET',
];

const sampleOf = (value: number | string): number | bigint =>
  value === 'StaleNaN' ? 0x7ff0000000000002n : Number(String(value).replace('Inf', 'Infinity'));

function encodeExemplar(labels: LabelMap, value: number): Uint8Array {
  const double = Buffer.alloc(9, (2 << 3) | 1);
  double.writeDoubleLE(value, 1);
  return Buffer.concat([
    ...Object.entries(labels).map(([name, text]) =>
      lengthField(1, Buffer.concat([lengthField(1, Buffer.from(name)), lengthField(2, Buffer.from(text))])),
    ),
    double,
  ]);
}
