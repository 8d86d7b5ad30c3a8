import { wantsHelp } from '../../lake/base/config.ts';
import { describeFailure } from '../../lake/base/service.ts';
import { csvText, tableText } from './print.ts';
import { secondsOf } from './promql.ts';
import { ask, askHelp, readAsk } from './settings.ts';

// `firn logql`: lines in their order, or the values of a query that counts.

interface LokiAnswer {
  readonly data: {
    readonly resultType: string;
    readonly result: readonly {
      readonly stream?: Readonly<Record<string, string>>;
      readonly metric?: Readonly<Record<string, string>>;
      /** Nanoseconds and a line for streams, seconds and a value for metrics. */
      readonly values?: readonly (readonly [string | number, string])[];
      readonly value?: readonly [string | number, string];
    }[];
  };
}

export async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(askHelp('logql', 'Runs a LogQL query on a gateway or a cloud.'));
    return 0;
  }
  try {
    const { query, settings } = readAsk('logql', argv);
    const end = Date.now();
    const start = end - secondsOf(settings.since || '1h') * 1000;
    const range = { start: `${start}000000`, end: `${end}000000`, limit: String(settings.limit) };
    const step = settings.step === '' ? {} : { step: settings.step };
    const response = await ask(
      settings,
      `loki/api/v1/query_range?${new URLSearchParams({ query, ...range, ...step })}`,
    );
    if (settings.json) {
      process.stdout.write(`${await response.text()}\n`);
      return 0;
    }
    const rows = rowsOf((await response.json()) as LokiAnswer);
    process.stdout.write((settings.csv ? csvText : tableText)(['time', 'labels', 'line'], rows));
    return 0;
  } catch (error) {
    process.stderr.write(`${describeFailure('firn logql', error)}\n`);
    return 1;
  }
}

function rowsOf({ data }: LokiAnswer): (readonly string[])[] {
  const isStreams = data.resultType === 'streams';
  return data.result
    .flatMap(({ stream, metric, values, value }) =>
      (values ?? (value ? [value] : [])).map(([time, text]) => ({
        time,
        labels: stream ?? metric ?? {},
        text,
      })),
    )
    .toSorted((a, b) => Number(a.time) - Number(b.time))
    .map(({ time, labels, text }) => {
      const ms = isStreams ? Number(BigInt(time) / 1_000_000n) : Number(time) * 1000;
      const pairs = Object.entries(labels).map(([name, label]) => `${name}=${JSON.stringify(label)}`);
      return [new Date(ms).toISOString(), `{${pairs.join(', ')}}`, text];
    });
}
