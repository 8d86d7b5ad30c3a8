import { wantsHelp } from '../../lake/base/config.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { describeFailure } from '../../lake/base/service.ts';
import { csvText, sparkline, tableText } from './print.ts';
import { type AskSettings, ask, askHelp, readAsk } from './settings.ts';

// `firn promql`: an instant as a table, a range as a line for each series with a small plot.

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Seconds, and the value as text. */
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

interface PromAnswer {
  readonly data: {
    readonly resultType: string;
    readonly result: readonly Series[] | readonly [number, string];
  };
}

const columnsMax = 60;

export async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(askHelp('promql', 'Runs a PromQL query on a gateway or a cloud.'));
    return 0;
  }
  try {
    const { query, settings } = readAsk('promql', argv);
    const response = await ask(settings, pathOf(query, settings));
    if (settings.json) process.stdout.write(`${await response.text()}\n`);
    else print((await response.json()) as PromAnswer, settings);
    return 0;
  } catch (error) {
    process.stderr.write(`${describeFailure('firn promql', error)}\n`);
    return 1;
  }
}

function pathOf(query: string, { since, step }: AskSettings): string {
  if (since === '') return `api/v1/query?${new URLSearchParams({ query })}`;
  const seconds = secondsOf(since);
  const end = Date.now() / 1000;
  const range = {
    start: String(end - seconds),
    end: String(end),
    step: step || String(Math.max(1, seconds / columnsMax)),
  };
  return `api/v1/query_range?${new URLSearchParams({ query, ...range })}`;
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Seconds of `90s`, `15m`, `1h`, `7d`. Throws FirnError `invalid`. */
export function secondsOf(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text) ?? [];
  const factor = unitSeconds[unit];
  if (factor !== undefined) return Number(number) * factor;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'read', subject: '--since', message: `${text} is no length of time` },
    hint: 'for example 90s, 15m, 1h, 7d',
  });
}

function print({ data }: PromAnswer, { csv }: AskSettings): void {
  const out = csv ? csvText : tableText;
  if (data.resultType === 'scalar' || data.resultType === 'string') {
    const [seconds, value] = data.result as readonly [number, string];
    process.stdout.write(out(['time', 'value'], [[timeText(seconds), value]]));
    return;
  }
  const series = data.result as readonly Series[];
  if (csv || !series.some(({ values }) => values)) {
    const rows = series.flatMap(({ metric, value, values }) =>
      (values ?? (value ? [value] : [])).map(([seconds, text]) => [nameOf(metric), timeText(seconds), text]),
    );
    process.stdout.write(out(['series', 'time', 'value'], rows));
    return;
  }
  const times = [
    ...new Set(series.flatMap(({ values = [] }) => values.map(([seconds]) => seconds))),
  ].toSorted((a, b) => a - b);
  const rows = series.map(({ metric, values = [] }) => {
    const byTime = new Map(values.map(([seconds, text]) => [seconds, Number(text)]));
    const numbers = [...byTime.values()];
    return [
      nameOf(metric),
      sparkline(times.map((time) => byTime.get(time))),
      Math.min(...numbers),
      Math.max(...numbers),
      numbers.at(-1),
    ];
  });
  process.stdout.write(tableText(['series', 'plot', 'min', 'max', 'last'], rows));
}

const timeText = (seconds: number): string => new Date(seconds * 1000).toISOString();

function nameOf({ __name__: name = '', ...labels }: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return pairs.length > 0 ? `${name}{${pairs.join(', ')}}` : name || '{}';
}
