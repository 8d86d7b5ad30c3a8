import type { TableName } from '../../lake/model/table-name.ts';
import { emptyRows } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import type { Tables, TableView } from '../../lake/tables.ts';

/** Rows that may be seen: those of which everything that is given is true. */
export interface RowRestriction {
  readonly sites?: readonly string[] | undefined;
  readonly signals?: readonly ('metrics' | 'logs' | 'spans' | 'events')[] | undefined;
  /** Values of labels; a table without labels has then no row that may be seen. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** The signal whose rows a table is about; undefined: all. */
const signalOf: Readonly<Record<TableName, 'metrics' | 'logs' | 'spans' | 'events' | undefined>> = {
  ...{ metrics: 'metrics', metrics_1m: 'metrics', exemplars: 'metrics' },
  ...{ metrics_rollup_1m: 'metrics', metrics_rollup_1h: 'metrics' },
  ...{ logs: 'logs', spans: 'spans', events: 'events', gaps: undefined },
};

/**
 * The same tables with fewer rows. All languages read tables by their views, so none of them can go round it. What
 * sources say about metrics is not told where names may be hidden.
 */
export function restrictedTables<Source extends Tables>(tables: Source, restriction: RowRestriction): Source {
  return {
    ...tables,
    metricMetadata: async () => [],
    // Nothing says which of their rows are of which site.
    userTables: undefined,
    versions: tables.versions && {
      ...tables.versions,
      scope: JSON.stringify([tables.versions.scope, restriction]),
    },
    rollups: tables.rollups && {
      open: async (table, ...more) => {
        const view = await tables.rollups?.open(table, ...more);
        return (
          view && {
            ...{ ...view, ...viewOf(view, table, restriction) },
            [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
          }
        );
      },
    },
    open: async (table, ...more) => {
      const view = await tables.open(table, ...more);
      return {
        ...viewOf(view, table, restriction),
        [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
      };
    },
  };
}

function viewOf(
  view: TableView,
  table: TableName,
  { sites, signals, labels }: RowRestriction,
): Omit<TableView, keyof AsyncDisposable> {
  const schema = tableSchemas[table];
  const has = (column: string): boolean => schema.columns.some(({ name }) => name === column);
  const signal = signalOf[table];
  const hidden =
    (signals && signal !== undefined && !signals.includes(signal)) ||
    (sites && !has('site')) ||
    (labels && !has('labels'));
  const { filesConsidered, filesPruned } = view;
  if (hidden) return { from: `(${emptyRows(schema)})`, filesConsidered, filesPruned };
  const conditions = [
    ...(sites ? [`site IN (${sites.map(literal).join(', ')})`] : []),
    ...(table === 'gaps' && signals ? [`signal IN (${signals.map(literal).join(', ')})`] : []),
    ...Object.entries(labels ?? {}).map(
      ([name, value]) => `json_extract_string(labels, ${literal(`$."${name}"`)}) = ${literal(value)}`,
    ),
  ];
  if (conditions.length === 0) return view;
  return {
    from: `(SELECT * FROM ${view.from} WHERE ${conditions.join(' AND ')})`,
    filesConsidered,
    filesPruned,
  };
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
