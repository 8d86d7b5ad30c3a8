import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hono } from 'hono';
import { compress } from 'snappyjs';
import { describe, expect, test } from 'vitest';
import { startHttpServer } from '../../lake/api/http-server.ts';
import { remoteWriteHandler } from '../../lake/api/receive/remote-write.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { parseHistogramText } from '../../lake/model/native-histogram.ts';
import {
  encodeWriteRequest,
  encodeWriteRequestV2,
  type WriteExemplar,
  type WriteHistogram,
  type WriteSeries,
  writeRequestBody,
} from '../../lake/receive/remote-write/encode.fixture.ts';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';

// The receiver cases of prometheus/compliance, and the header and partial-write cases of Prometheus' own write handler,
// from the corpus beside the repository.

const corpora = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');
const wire = join(corpora, 'wire', 'prom-remote-write');
const receiverCases = readCases<ReceiverCase>(
  join(corpora, 'promql-compliance', 'dev', 'remote_write_receiver.jsonl'),
);
const headerCases = readCases<HeaderCase>(join(wire, 'dev', 'headers.jsonl'));
const partialCases = readCases<PartialCase>(join(wire, 'dev', 'v2_partial_writes.jsonl'));
const secondVersion = 'application/x-protobuf;proto=io.prometheus.write.v2.Request';

interface ReceiverCase {
  readonly id: string;
  readonly request: {
    readonly samples?: readonly (Point & { value: number | string; created_offset_ms?: number })[];
    readonly exemplars?: readonly (Point & { exemplar_labels: LabelMap; value: number })[];
    readonly histograms?: readonly (Point & { histogram: WriteHistogram })[];
    readonly metadata?: readonly { labels: LabelMap; type: string; help?: string; unit?: string }[];
  };
  readonly expect: {
    samples: number;
    histograms: number;
    exemplars: number;
    exact_status: number | null;
    success: boolean;
  };
  readonly headers_override?: Record<string, string>;
  /** What was done to the body before sending it: its first byte is replaced. */
  readonly corrupt_body?: string | false;
  readonly protocol?: '1.0' | '2.0';
}

interface Point {
  readonly labels: LabelMap;
  readonly offset_ms: number;
}

interface HeaderCase {
  readonly id: string;
  readonly name: string;
  readonly body: 'fixture rw1.0' | 'fixture rw2.0';
  readonly headers: Record<string, string>;
  readonly expected_status: number;
}

interface PartialCase {
  readonly id: string;
  readonly name: string;
  readonly body?: 'fixture rw2.0';
  readonly expected_status: number;
  readonly needs_fault_injection: readonly string[];
  readonly prepended_series_to_fixture_v2?: readonly {
    readonly LabelsRefs: readonly number[];
    readonly Metadata?: { readonly UnitRef?: number; readonly HelpRef?: number };
    readonly Samples: readonly { readonly Value: number; readonly Timestamp: number }[];
  }[];
}

type LabelMap = Readonly<Record<string, string>>;

const written = (answer: Response) =>
  ['Samples', 'Histograms', 'Exemplars'].map((what) => {
    const value = answer.headers.get(`x-prometheus-remote-write-${what}-written`);
    return value === null ? undefined : Number(value);
  });

describe.skipIf(receiverCases.length === 0)('receiver cases (skipped where the corpus is absent)', () => {
  test.each(['1.0', '2.0'] as const)('each is answered as it says, in %s', async (version) => {
    const wrong: string[] = [];
    for (const one of receiverCases) {
      if (one.protocol === '1.0' && version === '2.0') continue;
      const type = version === '1.0' ? 'application/x-protobuf' : secondVersion;
      const { answer, rows } = await post(bodyOf(one, version), {
        ...{ 'Content-Type': type, 'Content-Encoding': 'snappy', ...one.headers_override },
      });
      const { success, exact_status, samples, histograms, exemplars } = one.expect;
      const wanted = success ? 204 : (exact_status ?? 400);
      const given = [samples, histograms, exemplars];
      const counts = version === '1.0' ? rows : written(answer).map((count) => count ?? 0);
      // What 1.0 may have is not in the case, and what was refused is not all of it.
      const right = counts.every((count, index) =>
        one.protocol === '1.0' || !success ? true : count === (given[index] ?? 0),
      );
      const beyond = !success && counts.some((count, index) => count > (given[index] ?? 0));
      const stored = counts.every((count, index) => count === rows[index]);
      if (answer.status !== wanted || !right || beyond || (version === '2.0' && !stored))
        wrong.push(`${one.id}: ${answer.status} with ${counts}, stored ${rows}, not ${wanted} with ${given}`);
    }
    expect(wrong).toEqual([]);
    expect(receiverCases.length).toBeGreaterThan(100);
  });
});

describe.skipIf(headerCases.length === 0)('header cases (skipped where the corpus is absent)', () => {
  test.each(headerCases)('$name, $body', async (one) => {
    const { answer, rows } = await post(fixtureOf(one.body), one.headers);
    expect([answer.status, rows.some((count) => count > 0)]).toEqual([
      one.expected_status,
      one.expected_status === 204,
    ]);
  });
});

describe.skipIf(partialCases.length === 0)('partial writes (skipped where the corpus is absent)', () => {
  /** Of the fixture. */
  const all = [2, 8, 2];
  const headers = { 'Content-Type': secondVersion, 'Content-Encoding': 'snappy' };

  test('the fixture is stored whole: every histogram as it was sent', async () => {
    const { answer, rows, batches } = await post(fixtureOf('fixture rw2.0'), headers);
    expect([answer.status, written(answer), rows]).toEqual([204, all, all]);
    const histograms = batches.flatMap((batch) =>
      batch.signal === 'metrics' ? (batch.histogram ?? []).filter((text) => text !== null) : [],
    );
    const parsed = histograms.map(parseHistogramText);
    expect(parsed.map(({ schema, integer, count, sum }) => [schema, integer, count, sum])).toEqual(
      expect.arrayContaining([
        [2, true, 3, 20],
        [2, false, 3, 20],
        [-53, true, 16, 20],
        [-53, false, 16, 20],
      ]),
    );
    expect(parsed.find(({ schema }) => schema === -53)).toMatchObject({
      ...{ customValues: [0.1, 1], positive: { spans: [[1, 2]], counts: [10, 6] } },
    });
  });

  test.each(partialCases.filter(({ prepended_series_to_fixture_v2: series }) => series !== undefined))(
    '$name',
    async (one) => {
      const fixture = readFileSync(join(wire, 'writeV2RequestFixture.v2.pb'));
      const series = (one.prepended_series_to_fixture_v2 ?? []).map(seriesBytes);
      const body = compress(Buffer.concat([...series, fixture]));
      const { answer, rows } = await post(body, headers);
      expect([answer.status, written(answer), rows]).toEqual([one.expected_status, all, all]);
    },
  );

  test('what is out of order or there twice is stored: a lake has no order to keep', async () => {
    const series = (timestamps: number[]): WriteSeries => ({
      labels: [['__name__', 'm']],
      samples: timestamps.map((timestampMs) => [timestampMs, 1]),
    });
    const { answer, rows } = await post(compress(encodeWriteRequestV2([series([5, 3, 5])])), headers);
    expect([answer.status, written(answer), rows]).toEqual([204, [3, 0, 0], [3, 0, 0]]);
  });
});

const fixtureOf = (body: HeaderCase['body']): Uint8Array =>
  readFileSync(
    join(
      wire,
      body === 'fixture rw1.0' ? 'writeRequestFixture.v1.pb.snappy' : 'writeV2RequestFixture.v2.pb.snappy',
    ),
  );

function readCases<Case>(path: string): Case[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Case);
}

/** `rows`: samples, histograms and exemplars that were stored. */
async function post(body: Uint8Array, headers: Record<string, string>) {
  const batches: Batch[] = [];
  const handler = remoteWriteHandler({
    append: async (...stored) => void batches.push(...stored),
    cache: createSeriesCache({ identity: [] }),
    limits: remoteWriteLimits,
  });
  const address = { host: '127.0.0.1', port: 0 };
  await using server = await startHttpServer(new Hono(), address, { 'POST /api/v1/write': handler });
  const url = `http://127.0.0.1:${server.port}/api/v1/write`;
  const answer = await fetch(url, { method: 'POST', body: Buffer.from(body), headers });
  await answer.arrayBuffer();
  const rows = [0, 0, 0];
  for (const batch of batches) {
    const histograms = batch.signal === 'metrics' ? (batch.histogram ?? []) : [];
    const ofHistograms = histograms.filter((text) => text !== null).length;
    const place = batch.signal === 'exemplars' ? 2 : 0;
    rows[place] = (rows[place] ?? 0) + batch.rows - ofHistograms;
    rows[1] = (rows[1] ?? 0) + ofHistograms;
  }
  return { answer, rows, batches };
}

interface Draft {
  readonly labels: LabelMap;
  readonly samples: [number, number | bigint, number?][];
  readonly histograms: WriteHistogram[];
  readonly exemplars: WriteExemplar[];
  metadata?: { type: number; help: string; unit: string };
}

function bodyOf({ request, corrupt_body: corrupt }: ReceiverCase, version: '1.0' | '2.0'): Uint8Array {
  const bySeries = new Map<string, Draft>();
  const seriesOf = (labels: LabelMap): Draft => {
    const key = JSON.stringify(labels);
    const found = bySeries.get(key) ?? { labels, samples: [], histograms: [], exemplars: [] };
    bySeries.set(key, found);
    return found;
  };
  const now = Date.now();
  for (const { labels, value, offset_ms, created_offset_ms: created } of request.samples ?? [])
    seriesOf(labels).samples.push([
      now + offset_ms,
      sampleOf(value),
      created === undefined ? 0 : now + created,
    ]);
  for (const { labels, histogram, offset_ms } of request.histograms ?? [])
    seriesOf(labels).histograms.push({ ...histogram, timestamp: now + offset_ms });
  for (const { labels, exemplar_labels, value, offset_ms } of request.exemplars ?? [])
    seriesOf(labels).exemplars.push({
      ...{ labels: Object.entries(exemplar_labels), value, timestampMs: now + (offset_ms ?? 0) },
    });
  const described = (request.metadata ?? []).map(({ labels, type, help = '', unit = '' }) => {
    return { labels, name: labels.__name__ ?? '', type: types.indexOf(type), help, unit };
  });
  if (version === '2.0')
    for (const { labels, ...metadata } of described) seriesOf(labels).metadata = metadata;
  const series = [...bySeries.values()].map(
    ({ labels, ...rest }): WriteSeries => ({
      ...rest,
      labels: Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)),
    }),
  );
  const body = Buffer.from(
    version === '2.0' ? compress(encodeWriteRequestV2(series)) : writeRequestBody(series, described),
  );
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

/** A TimeSeries of 2.0 whose references are of the fixture's table. */
function seriesBytes({
  LabelsRefs,
  Metadata,
  Samples,
}: NonNullable<PartialCase['prepended_series_to_fixture_v2']>[number]): Uint8Array {
  const samples = Samples.map(({ Timestamp, Value }) => [Timestamp, Value] as const);
  const { metadata, bytes } = { metadata: Metadata, bytes: encodeWriteRequest([{ labels: [], samples }]) };
  const field = (number: number, value: Uint8Array): Uint8Array =>
    Buffer.concat([Uint8Array.of((number << 3) | 2, value.length), value]);
  const unit = metadata?.UnitRef ?? 0;
  const help = metadata?.HelpRef ?? 0;
  const described = Uint8Array.of(
    0x08,
    2,
    0x18,
    (help & 0x7f) | 0x80,
    help >> 7,
    0x20,
    (unit & 0x7f) | 0x80,
    unit >> 7,
  );
  return field(
    5,
    Buffer.concat([
      field(1, Uint8Array.from(LabelsRefs)),
      bytes.subarray(2),
      ...(metadata === undefined ? [] : [field(5, described)]),
    ]),
  );
}
