import { systemClock } from '../../lake/base/clock.ts';
import type { Matcher } from '../../lake/logql/ast.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import { parseExpr } from '../../lake/logql/parse.ts';
import { valueTest } from '../../lake/logql/pipeline/label-filter.ts';
import { instantQuery } from '../../lake/logql/query.ts';
import type { CountRow, CountsRequest, LogSource } from '../../lake/logql/source.ts';
import { type Answer, push, query, type Report, same } from './logql-http.ts';
import type { EngineRow, ExpectedAnswer, InstantCase, MockedSeries } from './logql-rows.ts';
import { numberOf } from './logql-scripts.ts';

// The engine's cases: what its mocked storage answers is pushed as lines that give those samples.

const epochNs = BigInt(Date.parse('2026-01-01T00:00:00Z')) * 1_000_000n;
const shifted = (ns: number): string => String(epochNs + BigInt(ns));

export async function runEngineCases(
  base: string,
  rows: readonly EngineRow[],
  report: Report,
): Promise<void> {
  for (const [index, row] of rows.entries()) {
    // Its mocks answer what the pipeline would not let through.
    if (row.replay.startsWith('engine_only') || row.caveat !== undefined || outOfRange(row)) continue;
    const tenant = `engine-${index}`;
    const why = contradicts(row)
      ? await checkMocked(row)
      : ((await load(base, tenant, row)) ?? (await check(base, tenant, row)));
    report(`engine ${row.id} ${row.query.trim()}`, why);
  }
}

/** Whether a mock answers lines that the query's own time leaves out. */
const outOfRange = (row: EngineRow): boolean =>
  row.mode === 'range' &&
  row.expect.type === 'streams' &&
  (row.expect.result ?? []).some(({ entries = [] }) =>
    entries.some(([ns]) => ns < row.start_ns || ns >= row.end_ns),
  );

/** What a mocked selector answers: the selector of lines within it, the labels it is summed by, and the series. */
function mocksOf({ data }: EngineRow) {
  return data.map(({ selector, series }) => {
    let expr = parseExpr(selector);
    const by =
      expr.kind === 'vector-aggregation' && !expr.grouping?.without
        ? (expr.grouping?.labels ?? [])
        : undefined;
    while (expr.kind === 'vector-aggregation') expr = expr.input;
    const matchers = expr.kind === 'range-aggregation' ? expr.range.log.matchers : [];
    return { matchers, by, series };
  });
}

const matchesAll = (matchers: readonly Matcher[], labels: Readonly<Record<string, string>>): boolean =>
  matchers.every((matcher) => valueTest(matcher)(labels[matcher.label] ?? ''));

/** Whether no storage could answer as the mocks do: series that a selector does not select, or not alone. */
function contradicts(row: EngineRow): row is InstantCase {
  if (row.mode !== 'instant' || row.replay === 'streams') return false;
  const mocks = mocksOf(row);
  return mocks.some(({ matchers, series }) =>
    mocks.some((other) =>
      other.series.some(({ labels = {} }) => {
        const own = series.some((one) => keyOf(one.labels ?? {}) === keyOf(labels));
        return matchesAll(matchers, labels) !== own;
      }),
    ),
  );
}

/** Those cases are the engine's on the port that it reads from. */
async function checkMocked(row: InstantCase): Promise<string | undefined> {
  const mocks = mocksOf(row);
  const counts = async (request: CountsRequest): Promise<readonly CountRow[]> => {
    const same_ = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
    const mock = mocks.find(
      ({ matchers, by }) =>
        same_(matchers, request.matchers) && (by === undefined || same_(by, request.labels)),
    );
    return (mock?.series ?? []).flatMap(({ labels = {}, samples = [] }: MockedSeries) =>
      samples
        .map(([ns]) => BigInt(shifted(ns)))
        .filter((ns) => ns >= request.fromNs && ns < request.toNs)
        .map((ns) => ({
          ...{ labels: new Map(Object.entries(labels)), metadata: new Map(), value: 1 },
          bucket: Math.ceil(Number(ns - request.originNs) / request.bucketNs),
        })),
    );
  };
  const source = { counts } as unknown as LogSource;
  const expr = parseExpr(row.query);
  if (expr.kind === 'log') return 'a query of lines cannot be mocked';
  const options = {
    source,
    limits: defaultLogqlLimits,
    clock: systemClock,
    signal: new AbortController().signal,
  };
  let got: readonly Point[];
  try {
    const { data } = await instantQuery(expr, BigInt(shifted(row.ts_ns)), options);
    if (data.type !== 'vector') return `the result is a ${data.type}`;
    got = sorted(
      data.series.map(({ labels, values }) => ({
        key: keyOf(Object.fromEntries(labels)),
        time: row.ts_ns / 1e6,
        value: values[0] ?? 0,
      })),
    );
  } catch (error) {
    return String(error).includes(row.expect.error ?? 'no error is expected') ? undefined : String(error);
  }
  const want = row.expect.error === undefined ? wanted(row.expect) : [];
  const right =
    row.expect.error === undefined &&
    want.length === got.length &&
    want.every((one, at) => alike(one, got[at]));
  return right ? undefined : `want ${JSON.stringify(row.expect).slice(0, 500)} got ${JSON.stringify(got)}`;
}

function load(base: string, tenant: string, row: EngineRow): Promise<string | undefined> {
  const streams = new Map<string, Map<number, readonly unknown[]>>();
  for (const { series } of row.data)
    for (const one of series) {
      const labels = one.labels ?? one.stream?.labels;
      const values = streams.get(JSON.stringify(labels)) ?? new Map();
      streams.set(JSON.stringify(labels), values);
      if (one.stream) for (const [ns, line] of one.stream.entries) values.set(ns, [shifted(ns), line]);
      else
        for (const [ns, value] of one.samples ?? [])
          values.set(ns, [shifted(ns), ...lineOf(row.replay, ns, value)]);
    }
  const body = [...streams].map(([labels, values]) => ({
    stream: JSON.parse(labels),
    values: [...values.values()],
  }));
  return push(base, tenant, body);
}

function lineOf(replay: string, ns: number, value: number): unknown[] {
  const metadata = /structured_metadata:(\w+)=/.exec(replay);
  const line = replay.includes('line_bytes')
    ? 'x'.repeat(value)
    : `${replay.includes('foo bar') ? 'foo bar' : 'line'} ${ns}`;
  return metadata === null ? [line] : [line, { [metadata[1] ?? '']: String(value) }];
}

async function check(base: string, tenant: string, row: EngineRow): Promise<string | undefined> {
  const { expect } = row;
  const common = {
    query: row.query,
    direction: row.direction,
    ...(row.limit > 0 ? { limit: String(row.limit) } : {}),
  };
  const answer =
    row.mode === 'instant'
      ? await query(base, tenant, 'query', { ...common, time: shifted(row.ts_ns) })
      : await query(base, tenant, 'query_range', {
          ...{
            ...common,
            start: shifted(row.start_ns),
            end: shifted(row.end_ns),
            step: `${row.step_ns / 1e6}ms`,
          },
          ...(row.interval_ns > 0 ? { interval: `${row.interval_ns / 1e6}ms` } : {}),
        });
  if (expect.error !== undefined)
    return answer.text.includes(expect.error) ? undefined : `want ${expect.error} got ${answer.text}`;
  if (answer.data === undefined) return `${answer.status} ${answer.text}`;
  const [want, got] = [wanted(expect), gotten(answer)];
  return want.length === got.length && want.every((one, at) => alike(one, got[at]))
    ? undefined
    : `want ${JSON.stringify(want).slice(0, 600)}\n     got  ${JSON.stringify(got).slice(0, 600)}`;
}

interface Point {
  readonly key: string;
  readonly time: number | string;
  readonly value: number | string;
}

const alike = (a: Point | undefined, b: Point | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.key === b.key &&
  a.time === b.time &&
  (typeof a.value === 'number' && typeof b.value === 'number' ? same(a.value, b.value) : a.value === b.value);

const keyOf = (labels: object): string =>
  JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
const sorted = (points: readonly Point[]): readonly Point[] =>
  [...points].sort((a, b) => (`${a.key}${a.time}` < `${b.key}${b.time}` ? -1 : 1));

function wanted({ type, t_ms: timeMs = 0, value = 0, result = [] }: ExpectedAnswer): readonly Point[] {
  if (type === 'scalar') return [{ key: '', time: timeMs, value }];
  return sorted(
    result.flatMap((one): Point[] => {
      const key = keyOf(one.labels);
      if (one.entries) return one.entries.map(([ns, line]) => ({ key, time: shifted(ns), value: line }));
      if (one.values) return one.values.map(([ms, each]) => ({ key, time: ms, value: Number(each) }));
      return [{ key, time: one.t_ms ?? 0, value: Number(one.value) }];
    }),
  );
}

type Texts = Readonly<Record<string, string>>;
/** A series or a stream of an answer of Loki's API. */
type Gotten =
  | { readonly stream: Texts; readonly values: readonly (readonly [ns: string, line: string])[] }
  | {
      readonly metric: Texts;
      readonly value?: readonly [seconds: number, value: string];
      readonly values?: readonly (readonly [seconds: number, value: string])[];
    };

function gotten({ data }: Answer): readonly Point[] {
  const ms = (seconds: number): number => Math.round(seconds * 1000) - Number(epochNs / 1_000_000n);
  if (data?.resultType === 'scalar') {
    const [seconds, value] = data.result as [number, string];
    return [{ key: '', time: ms(seconds), value: numberOf(value) }];
  }
  return sorted(
    ((data?.result ?? []) as readonly Gotten[]).flatMap((one): Point[] => {
      if ('stream' in one)
        return one.values.map(([ns, line]) => ({ key: keyOf(one.stream), time: ns, value: line }));
      const points = one.values ?? (one.value ? [one.value] : []);
      return points.map(([seconds, value]) => ({
        ...{ key: keyOf(one.metric), time: ms(seconds), value: numberOf(value) },
      }));
    }),
  );
}
