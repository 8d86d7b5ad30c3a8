import type { Node } from 'libpg-query';
import { as, type Fields } from '../ast.ts';
import { notSupported } from '../errors.ts';
import type { SqlColumn, SqlStatement } from '../sql-session.ts';
import type { SelectContext, SelectInput } from './describe-select.ts';
import { analyzeQuery } from './query.ts';
import { rowsResult } from './statement.ts';

// EXPLAIN and EXPLAIN ANALYZE: DuckDB's plan, printed as PostgreSQL prints its own, in text or JSON. What a step says of itself is
// chosen by name: DuckDB would name files of this computer, too.

/** A step of DuckDB's plan, of which ANALYZE says more. */
interface Step {
  readonly name?: string;
  readonly operator_name?: string;
  readonly operator_timing?: number;
  readonly operator_cardinality?: number;
  readonly extra_info?: Readonly<Record<string, string | readonly string[]>>;
  readonly children?: readonly Step[];
}

/** PostgreSQL's words for the properties of a plan. */
type Plan = Readonly<Record<string, unknown>> & { readonly Plans?: readonly Plan[] };

const shownFacts = [
  ...['Projections', 'Filters', 'Expression', 'Conditions', 'Join Type', 'Groups', 'Aggregates'],
  ...['Order By', 'Top', 'Limit', 'Offset'],
];

/** The statement, or undefined when the node is no EXPLAIN of a query. Throws SqlError. */
export async function explainStatement(
  input: SelectInput,
  context: SelectContext,
): Promise<SqlStatement | undefined> {
  const explain = as(input.node, 'ExplainStmt');
  if (!explain?.query || !as(explain.query, 'SelectStmt')) return undefined;
  const options = optionsOf(explain);
  const format = options.get('format') ?? 'text';
  if (format !== 'text' && format !== 'json')
    throw notSupported(`EXPLAIN in format ${format}`, input.positionOf(0), 'FORMAT TEXT and JSON are there');
  const analyzes = /^(|true|on|1)$/.test(options.get('analyze') ?? 'off');
  const prefix = analyzes ? 'EXPLAIN (ANALYZE, FORMAT JSON) ' : 'EXPLAIN (FORMAT JSON) ';
  const query = await analyzeQuery({ ...input, node: explain.query, prefix }, context);
  const columns: readonly SqlColumn[] = [
    { name: 'QUERY PLAN', type: format === 'json' ? 'JSON' : 'VARCHAR' },
  ];
  return {
    kind: 'select',
    parameterTypes: query.parameters.map((type) => type ?? null),
    describe: async () => columns,
    execute: async (values, signal) => {
      await using open = await query.open(values, signal);
      try {
        const rows = await (await open.prepared.run()).getRows();
        open.ended();
        const plans = plansOf(JSON.parse(String(rows[0]?.[1])));
        const lines =
          format === 'json'
            ? [
                JSON.stringify(
                  plans.map((plan) => ({ Plan: plan })),
                  null,
                  2,
                ),
              ]
            : plans.flatMap((plan) => linesOf(plan));
        return rowsResult(
          'EXPLAIN',
          columns,
          lines.map((line) => [line]),
        );
      } catch (error) {
        throw open.failed(error);
      }
    },
  };
}

function optionsOf({ options = [] }: Fields<'ExplainStmt'>): ReadonlyMap<string, string> {
  return new Map(
    options.map((node: Node) => {
      const { defname = '', arg } = as(node, 'DefElem') ?? {};
      const value = as(arg, 'String')?.sval ?? as(arg, 'Integer')?.ival ?? as(arg, 'Boolean')?.boolval;
      return [defname, arg === undefined ? '' : String(value ?? 'off').toLowerCase()] as const;
    }),
  );
}

/** The first step of an analyzed plan is the explaining itself. */
function plansOf(read: Step | readonly Step[]): readonly Plan[] {
  const steps = 'length' in read ? read : (read.children?.[0]?.children ?? []);
  return steps.map(planOf);
}

function planOf({
  name,
  operator_name,
  operator_timing: s,
  operator_cardinality: rows,
  extra_info = {},
  children = [],
}: Step): Plan {
  const title = (name ?? operator_name ?? '').trim().toLowerCase().replaceAll('_', ' ');
  const estimated = extra_info['Estimated Cardinality'];
  return {
    'Node Type': title.charAt(0).toUpperCase() + title.slice(1),
    ...(estimated !== undefined && { 'Plan Rows': Number(estimated) }),
    ...(s !== undefined && { 'Actual Total Time': Math.round(s * 1e6) / 1000, 'Actual Rows': rows ?? 0 }),
    ...Object.fromEntries(
      shownFacts.flatMap((fact) => (fact in extra_info ? [[fact, extra_info[fact]]] : [])),
    ),
    ...(children.length > 0 && { Plans: children.map(planOf) }),
  };
}

function linesOf(plan: Plan, depth = 0): readonly string[] {
  const {
    'Node Type': type,
    'Plan Rows': estimated,
    'Actual Total Time': ms,
    'Actual Rows': rows,
    Plans,
    ...facts
  } = plan;
  const indent = ' '.repeat(depth === 0 ? 0 : depth * 6 - 4);
  const counts = [
    ...(estimated === undefined ? [] : [`  (rows=${estimated})`]),
    ...(ms === undefined ? [] : [` (actual time=${ms} ms rows=${rows})`]),
  ];
  return [
    `${indent}${depth === 0 ? '' : '->  '}${type}${counts.join('')}`,
    ...Object.entries(facts).map(
      ([fact, value]) => `${indent}${depth === 0 ? '  ' : '      '}${fact}: ${[value].flat().join(', ')}`,
    ),
    ...(Plans ?? []).flatMap((child) => linesOf(child, depth + 1)),
  ];
}
