import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Command, type Eval, type Expected, numberOf, parseScript } from './logql-scripts.ts';

// Scripts and engine cases over HTTP, as corpora/tools/run_logqltest.py runs them: what is loaded is pushed, a section
// to a tenant of its own.

const epochMs = Date.parse('2026-01-01T00:00:00Z');
const nsOf = (ms: number): string => `${epochMs + ms}000000`;

export type Report = (id: string, why: string | undefined) => void;

export async function runScripts(base: string, folder: string, report: Report): Promise<void> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.logqltest'));
  for (const file of files) {
    let section = 0;
    for (const command of parseScript(readFileSync(join(folder, file), 'utf8'))) {
      if (command.kind === 'clear') section++;
      else await runCommand(base, `${file}-${section}`, basename(file), command, report);
    }
  }
}

async function runCommand(
  base: string,
  tenant: string,
  file: string,
  command: Exclude<Command, { kind: 'clear' }>,
  report: Report,
): Promise<void> {
  if (command.kind === 'eval')
    return report(`${file}:${command.line} ${command.query}`, await check(base, tenant, command));
  const streams = command.streams.map(({ labels, metadata, entries }) => ({
    stream: labels,
    values: entries.map(([ms, line]) => [
      nsOf(ms),
      line,
      ...(Object.keys(metadata).length > 0 ? [metadata] : []),
    ]),
  }));
  const why = await push(base, tenant, streams);
  if (why !== undefined) report(`${file}:${command.line} load`, why);
}

export async function push(
  base: string,
  tenant: string,
  streams: readonly object[],
): Promise<string | undefined> {
  const response = await fetch(`${base}/loki/api/v1/push`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-scope-orgid': tenant },
    body: JSON.stringify({ streams }),
  });
  return response.ok ? undefined : `push: ${response.status} ${await response.text()}`;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly data: { readonly resultType: string; readonly result: unknown } | undefined;
}

export async function query(
  base: string,
  tenant: string,
  path: string,
  parameters: Readonly<Record<string, string>>,
): Promise<Answer> {
  const response = await fetch(`${base}/loki/api/v1/${path}?${new URLSearchParams(parameters)}`, {
    headers: { 'x-scope-orgid': tenant },
  });
  const text = await response.text();
  return { status: response.status, text, data: response.ok ? JSON.parse(text).data : undefined };
}

async function check(
  base: string,
  tenant: string,
  { query: text, times, expected }: Eval,
): Promise<string | undefined> {
  const answer =
    'atMs' in times
      ? await query(base, tenant, 'query', { query: text, time: nsOf(times.atMs) })
      : await query(base, tenant, 'query_range', {
          ...{
            query: text,
            start: nsOf(times.startMs),
            end: nsOf(times.endMs),
            step: `${times.stepMs / 1000}s`,
          },
        });
  return compare(answer, expected, 'atMs' in times ? undefined : times);
}

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

const keyOf = (labels: Readonly<Record<string, string>>): string =>
  JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));

export function same(a: number, b: number): boolean {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b);
  if (!Number.isFinite(a) || !Number.isFinite(b)) return a === b;
  return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

function compare(
  { status, text, data }: Answer,
  expected: Expected,
  range: { readonly startMs: number; readonly stepMs: number } | undefined,
): string | undefined {
  if (expected.fail !== undefined) return compareFailure(status, text, expected.fail);
  if (data === undefined) return `${status} ${text.slice(0, 300)}`;
  const { resultType, result } = data;
  if (expected.empty)
    return (result as unknown[]).length === 0 ? undefined : `expected nothing, got ${JSON.stringify(result)}`;
  if (expected.scalar !== undefined) {
    const value = numberOf(String((result as [number, string])[1]));
    return resultType === 'scalar' && same(value, expected.scalar)
      ? undefined
      : `want ${expected.scalar} got ${JSON.stringify(result)}`;
  }
  const got = (result as Sample[]).map(({ metric, value, values }) => ({
    key: keyOf(metric),
    points: value ? [value] : (values ?? []),
  }));
  const want = expected.series.map(({ labels, points }) => ({ key: keyOf(labels), points }));
  if (expected.ordered && got.map(({ key }) => key).join() !== want.map(({ key }) => key).join())
    return `order: ${got.map(({ key }) => key).join()}`;
  return compareSeries(got, want, range);
}

function compareFailure(
  status: number,
  text: string,
  { text: wanted, regexp }: NonNullable<Expected['fail']>,
): string | undefined {
  if (status === 200) return 'expected a failure';
  if (wanted === undefined) return undefined;
  const right = regexp ? new RegExp(wanted).test(text) : text.includes(wanted);
  return right ? undefined : `error is ${text.slice(0, 300)}`;
}

function compareSeries(
  got: readonly { key: string; points: readonly (readonly [number, string])[] }[],
  want: readonly { key: string; points: readonly (number | undefined)[] }[],
  range: { readonly startMs: number; readonly stepMs: number } | undefined,
): string | undefined {
  const keys = (list: readonly { key: string }[]): string =>
    list
      .map(({ key }) => key)
      .sort()
      .join('\n');
  if (keys(got) !== keys(want)) return `series: want\n${keys(want)}\n got\n${keys(got)}`;
  for (const { key, points } of want) {
    const found = got.find((one) => one.key === key)?.points ?? [];
    const values = new Map(found.map(([s, text]) => [Math.round(s * 1000) - epochMs, numberOf(text)]));
    if (range === undefined) {
      const value = numberOf(found[0]?.[1] ?? 'NaN');
      if (!same(value, points[0] ?? Number.NaN)) return `${key}: want ${points[0]} got ${value}`;
      continue;
    }
    const wanted = points.flatMap((point, i) =>
      point === undefined ? [] : [[range.startMs + i * range.stepMs, point] as const],
    );
    if (
      wanted.length !== values.size ||
      wanted.some(([ms, point]) => !same(values.get(ms) ?? Number.NaN, point))
    )
      return `${key}: want ${JSON.stringify(wanted)} got ${JSON.stringify([...values])}`;
  }
  return undefined;
}
