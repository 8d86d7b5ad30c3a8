import type { DuckDBConnection } from '@duckdb/node-api';
import { messageOf } from '../../base/errors.ts';
import { fromDuckdb } from '../duckdb-errors.ts';
import { notSupported, SqlError } from '../errors.ts';
import type { Language, LanguageQuery, LanguageRows, Languages } from '../languages.ts';
import { argumentsQuery, type LanguageCall } from '../passes/language-calls.ts';
import { print } from '../print/printer.ts';
import { fill } from '../print/template.ts';
import { nowSql, type RewrittenSelect } from './describe-select.ts';

// What `promql(…)` and `logql(…)` answer becomes a table of the connection that the statement runs on.

export interface LanguageTable extends AsyncDisposable {
  /** Stands in a FROM clause. */
  readonly from: string;
}

export interface LanguageContext {
  readonly connection: DuckDBConnection;
  readonly languages: Languages | undefined;
  readonly nowUs: number;
  readonly values: readonly (string | null)[];
  readonly signal: AbortSignal;
}

/** Runs the call and keeps its rows until they are disposed. Throws SqlError. */
export async function openLanguageTable(
  { positionOf }: Pick<RewrittenSelect, 'positionOf'>,
  call: LanguageCall,
  index: number,
  context: LanguageContext,
): Promise<LanguageTable> {
  const { connection, languages, signal } = context;
  const position = positionOf(call.location);
  if (!languages) throw notSupported(`${call.language}() here`, position);
  const query = await queryOf(call, position, context);
  let rows: LanguageRows;
  try {
    rows = await languages.run(query, signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new SqlError('22023', `${call.language}: ${messageOf(cause)}`, { position, cause });
  }
  const name = `temp.firn_call_${index}`;
  await store(connection, name, call.language, rows);
  return {
    from: `(SELECT * REPLACE (CAST(labels AS JSON) AS labels) FROM ${name})`,
    [Symbol.asyncDispose]: async () => {
      // The connection may be closed already, and the table with it.
      await connection.run(`DROP TABLE IF EXISTS ${name}`).catch(() => undefined);
    },
  };
}

const columns: Readonly<Record<Language, string>> = {
  promql: 'timestamp TIMESTAMPTZ, value DOUBLE, labels VARCHAR',
  logql: 'timestamp TIMESTAMPTZ, value DOUBLE, labels VARCHAR, line VARCHAR',
};

/** The same columns without a row, for describing a statement. */
export const emptyLanguageTable = (language: Language): string =>
  `(SELECT NULL::TIMESTAMPTZ AS timestamp, NULL::DOUBLE AS value, NULL::JSON AS labels${
    language === 'logql' ? ', NULL::VARCHAR AS line' : ''
  } WHERE false)`;

async function queryOf(
  call: LanguageCall,
  position: number | undefined,
  { connection, nowUs, values }: LanguageContext,
): Promise<LanguageQuery> {
  const printed = print(argumentsQuery(call, values), { positionOf: () => position, parameterTypes: [] });
  const { sql } = fill(printed, () => nowSql(nowUs));
  let row: readonly unknown[] | undefined;
  try {
    [row] = (await connection.runAndReadAll(sql)).getRows();
  } catch (error) {
    throw fromDuckdb(error, sql, () => position);
  }
  const wrong = (message: string): SqlError =>
    new SqlError('22023', `${call.language}: ${message}`, { position });
  const [text, startUs, endUs, step] = row ?? [];
  if (typeof text !== 'string') throw wrong('the query is NULL');
  const given = call.args.length;
  const msOf = (us: unknown): number => {
    if (typeof us !== 'bigint') throw wrong('a time is NULL');
    return Number(us) / 1000;
  };
  const { language } = call;
  if (given < 3) {
    const endMs = given === 1 ? nowUs / 1000 : msOf(startUs);
    return { language, text, startMs: endMs - instantMs, endMs, stepMs: 0 };
  }
  const [startMs, endMs] = [msOf(startUs), msOf(endUs)];
  if (endMs < startMs) throw wrong('its end is before its start');
  const stepMs = given === 3 ? Math.max(1000, (endMs - startMs) / stepsByDefault) : stepMsOf(String(step));
  if (!(stepMs >= 1)) throw wrong(`${JSON.stringify(step)} is no step`);
  return { language, text, startMs, endMs, stepMs };
}

/** How far lines are looked for where no start is given. */
const instantMs = 3_600_000;
const stepsByDefault = 250;

const unitMs: Readonly<Record<string, number>> = {
  ...{ ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 },
  ...{ day: 86_400_000, days: 86_400_000 },
};

/** Seconds, a duration of PromQL (`1m30s`), or an interval as DuckDB prints it (`1 day 00:05:00`); NaN for anything else. */
export function stepMsOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  let rest = text;
  let sum = 0;
  rest = rest.replace(/(\d+):(\d\d):(\d\d(?:\.\d+)?)$/, (_, hours, minutes, seconds) => {
    sum += Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1000;
    return '';
  });
  rest = rest.replace(/(\d+(?:\.\d+)?) ?(days?|ms|[smhdwy])(?![a-z])/g, (_, count, unit) => {
    sum += Number(count) * (unitMs[unit] ?? Number.NaN);
    return '';
  });
  return rest.trim() === '' && text.trim() !== '' ? sum : Number.NaN;
}

async function store(
  connection: DuckDBConnection,
  name: string,
  language: Language,
  { timestampsUs, values, lines, labels, labelsAt }: LanguageRows,
): Promise<void> {
  const { DuckDBTimestampTZValue } = await import('@duckdb/node-api');
  await connection.run(`CREATE OR REPLACE TEMP TABLE ${name.replace('temp.', '')} (${columns[language]})`);
  const appender = await connection.createAppender(name.replace('temp.', ''), undefined, 'temp');
  try {
    for (let row = 0; row < timestampsUs.length; row++) {
      appender.appendTimestampTZ(new DuckDBTimestampTZValue(BigInt(timestampsUs[row] ?? 0)));
      if (values) appender.appendDouble(values[row] ?? Number.NaN);
      else appender.appendNull();
      appender.appendVarchar(labels[labelsAt[row] ?? 0] ?? '{}');
      if (language === 'logql') {
        if (lines) appender.appendVarchar(lines[row] ?? '');
        else appender.appendNull();
      }
      appender.endRow();
    }
  } finally {
    appender.closeSync();
  }
}
