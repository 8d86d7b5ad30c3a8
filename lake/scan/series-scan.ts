import type { DuckDBConnection } from '@duckdb/node-api';
import { type Labels, parseLabelsJson } from '../model/labels.ts';
import { filesSql } from '../parquet/files-sql.ts';
import { compareUtf8 } from '../parquet/series-order.ts';
import type { Matcher } from '../promql/ast.ts';
import { histogramHistoryMs, type Selection, type SeriesSource, type StoredScan } from '../promql/source.ts';
import { tableSchemas } from '../schema/tables.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Tables, TableView } from '../tables.ts';
import { scanBuckets } from './bucket-scan.ts';
import {
  exactName,
  labelSql,
  nameAndTimeCondition,
  type RowFilter,
  rowCondition,
  seriesCondition,
  storedLabelSql,
} from './conditions.ts';
import { packPaths, type WantedOfSeries } from './evaluation-messages.ts';
import type { EvaluationPool } from './evaluation-pool.ts';
import { type ExemplarSeries, readExemplars } from './exemplars.ts';
import { readSeries, tooMuch } from './read-series.ts';
import type { OtherSeries } from './samples/stored-series.ts';
import { useConnection } from './use-connection.ts';

/** The metrics of one tenant as PromQL sees them: series by matchers, and what labels there are. */
export interface SeriesScan extends SeriesSource {
  /** Label names of the series that match any of `matcherSets` (all series when there is none), sorted. */
  labelNames(request: LabelsRequest, signal: AbortSignal): Promise<readonly string[]>;
  /** Values of one label, sorted. */
  labelValues(label: string, request: LabelsRequest, signal: AbortSignal): Promise<readonly string[]>;
  /** Exemplars of the series that match any of `matcherSets`. */
  exemplars(request: LabelsRequest, signal: AbortSignal): Promise<readonly ExemplarSeries[]>;
  /** Label sets of the series that match, at most `limit` and one more, to show that there are more. */
  series(request: LabelsRequest, signal: AbortSignal): Promise<readonly Labels[]>;
}

export interface LabelsRequest {
  readonly matcherSets: readonly (readonly Matcher[])[];
  /** Only series with samples in this time; milliseconds, inclusive. */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Entries wanted; 0 for all. */
  readonly limit: number;
}

interface SeriesScanLimits {
  /** Label names, values or series in one answer; more are FirnError `limit`. */
  readonly labelEntriesMax: number;
}

const defaultSeriesScanLimits: SeriesScanLimits = { labelEntriesMax: 1_000_000 };

export interface SeriesScanOptions {
  readonly tables: Tables;
  readonly engine: Engine;
  readonly limits?: SeriesScanLimits;
  /** Looks into files without SQL; absent: SQL looks into all. */
  readonly pool?: Pick<EvaluationPool, 'find'> | undefined;
}

/** Reads series with DuckDB: one statement a selection. */
export function seriesScan({
  tables,
  engine,
  limits = defaultSeriesScanLimits,
  pool,
}: SeriesScanOptions): SeriesScan {
  async function query<T>(
    filters: readonly RowFilter[],
    signal: AbortSignal,
    use: (connection: DuckDBConnection, rows: string, from: string) => Promise<T>,
    table: 'metrics' | 'exemplars' = 'metrics',
  ): Promise<T> {
    signal.throwIfAborted();
    await using view = await openView(tables, table, filters, signal);
    const condition = filters.map((filter) => `(${rowCondition(filter)})`).join(' OR ');
    return await useConnection(engine, signal, (connection) =>
      use(connection, `${view.from} WHERE (${condition})`, view.from),
    );
  }

  const texts = async (
    request: LabelsRequest,
    signal: AbortSignal,
    wanted: WantedOfSeries,
  ): Promise<readonly string[]> => {
    signal.throwIfAborted();
    const { labelEntriesMax } = limits;
    const limit = Math.min(request.limit > 0 ? request.limit : labelEntriesMax, labelEntriesMax) + 1;
    const filters = filtersOf(request);
    await using view = await openView(tables, 'metrics', filters, signal);
    const { fromMs, toMs, matcherSets } = request;
    const files = view.parts?.files;
    const ofFiles =
      files &&
      (await pool?.find(
        tables.tenant,
        { paths: packPaths(files), matcherSets, fromMs, toMs, wanted },
        signal,
      ));
    const from = ofFiles ? restOf(view.parts?.rest, ofFiles.unsupported) : view.from;
    const more =
      from === undefined
        ? []
        : await useConnection(engine, signal, (connection) =>
            readTexts(connection, `${wantedSql(wanted, seriesRows(from, filters))} LIMIT ${limit}`),
          );
    const found = ofFiles
      ? [...new Set([...ofFiles.texts, ...more])].sort(compareUtf8).slice(0, limit)
      : more;
    if (found.length > labelEntriesMax) throw tooMuch('labelEntriesMax', labelEntriesMax, 'entries');
    return found;
  };

  const select: SeriesScan['select'] = (selection, signal) => {
    const wide = { ...selection, fromMs: selection.fromMs - histogramHistoryMs };
    return query([wide], signal, (connection, _, from) =>
      readSeries(connection, from, selection, wide, signal),
    );
  };
  const { rollups, versions } = tables;

  return {
    select,
    open: (selection, signal) => openStored(tables, engine, selection, signal),
    ...(versions && { versions }),
    ...(rollups && {
      selectBuckets: (selection, signal) => scanBuckets({ rollups, engine, select }, selection, signal),
    }),
    exemplars: (request, signal) => query(filtersOf(request), signal, readExemplars, 'exemplars'),
    labelNames: (request, signal) => texts(request, signal, { kind: 'names' }),
    labelValues: (label, request, signal) => texts(request, signal, { kind: 'values', label }),
    series: async (request, signal) =>
      (await texts(request, signal, { kind: 'labels' })).map(parseLabelsJson),
  };
}

/** What is wanted of series, each once and in order. */
function wantedSql(wanted: WantedOfSeries, rows: string): string {
  switch (wanted.kind) {
    case 'names':
      return `SELECT DISTINCT unnest(json_keys(labels)) AS entry FROM (SELECT labels FROM ${rows}) ORDER BY entry`;
    case 'values': {
      const value = wanted.label === '__name__' ? labelSql(wanted.label) : storedLabelSql(wanted.label);
      return `SELECT DISTINCT entry FROM (SELECT ${value} AS entry FROM ${rows}) WHERE entry <> '' ORDER BY entry`;
    }
    case 'labels':
      return `SELECT DISTINCT labels AS entry FROM ${rows} ORDER BY entry`;
  }
}

/** What only SQL reads: FROM text, undefined for nothing. */
function restOf(rest: string | undefined, unsupported: readonly string[]): string | undefined {
  const parts = [
    ...(unsupported.length > 0 ? [filesSql(tableSchemas.metrics, unsupported)] : []),
    ...(rest === undefined ? [] : [rest]),
  ];
  return parts.length === 0
    ? undefined
    : `(${parts.map((one) => `SELECT * FROM ${one}`).join(' UNION ALL ')})`;
}

async function openStored(
  tables: Tables,
  engine: Engine,
  selection: Selection,
  signal: AbortSignal,
): Promise<StoredScan | undefined> {
  const wide = { ...selection, fromMs: selection.fromMs - histogramHistoryMs };
  const view = await openView(tables, 'metrics', [wide], signal);
  if (!view.parts) {
    await view[Symbol.asyncDispose]();
    return undefined;
  }
  const { files, rest } = view.parts;
  return {
    ...{ owner: tables.tenant, selection, files, hasRest: rest !== undefined },
    readOthers: (missing, aborted) =>
      readOthers(view.from, rest, missing, (from) =>
        useConnection(engine, aborted, (connection) =>
          readSeries(connection, from, selection, wide, aborted),
        ),
      ),
    [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
  };
}

/** What is in no file or in one that only SQL reads, and all of series that are more than numbers. */
async function readOthers(
  from: string,
  rest: string | undefined,
  { special, unsupported }: Parameters<StoredScan['readOthers']>[0],
  read: (from: string) => Promise<readonly OtherSeries[]>,
): Promise<readonly OtherSeries[]> {
  const known = new Set(special);
  const outside = restOf(rest, unsupported);
  const others = outside === undefined ? [] : await read(outside);
  const wanted =
    special.length === 0 ? [] : await read(`(SELECT * FROM ${from} WHERE series_id IN (${special.join()}))`);
  return [...others.filter(({ id }) => !known.has(id)), ...wanted];
}

/** One row a series, so that its labels are looked into once. */
function seriesRows(from: string, filters: readonly RowFilter[]): string {
  const either = (conditions: readonly string[]): string => conditions.map((one) => `(${one})`).join(' OR ');
  return `(SELECT any_value(name) AS name, any_value(labels) AS labels FROM ${from}
    WHERE ${either(filters.map(nameAndTimeCondition))} GROUP BY series_id) WHERE (${either(filters.map(seriesCondition))})`;
}

function filtersOf({ matcherSets, fromMs, toMs }: LabelsRequest): readonly RowFilter[] {
  const times = { ...(fromMs === undefined ? {} : { fromMs }), ...(toMs === undefined ? {} : { toMs }) };
  const sets = matcherSets.length === 0 ? [[]] : matcherSets;
  return sets.map((matchers) => ({ matchers, ...times }));
}

/** Opens the table, pruned by what all filters have in common. */
async function openView(
  tables: Tables,
  table: 'metrics' | 'exemplars',
  filters: readonly RowFilter[],
  signal: AbortSignal,
): Promise<TableView> {
  const [first] = filters;
  const names = new Set(filters.map(({ matchers }) => exactName(matchers)));
  const name = names.size === 1 ? [...names][0] : undefined;
  const prune = {
    ...(first?.fromMs === undefined ? {} : { fromUs: first.fromMs * 1000 }),
    ...(first?.toMs === undefined ? {} : { toUs: first.toMs * 1000 + 999 }),
    ...(name === undefined ? {} : { name }),
  };
  return tables.open(table, prune, signal);
}

async function readTexts(connection: DuckDBConnection, sql: string): Promise<readonly string[]> {
  const result = await connection.stream(sql);
  const found: string[] = [];
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return found;
    for (const value of chunk.getColumnValues(0)) if (typeof value === 'string') found.push(value);
  }
}
