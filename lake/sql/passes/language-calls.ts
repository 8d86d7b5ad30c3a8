import type { Node } from 'libpg-query';
import { as, call, castTo, plainName, rewrite, text, walk } from '../ast.ts';
import { SqlError } from '../errors.ts';
import type { Language } from '../languages.ts';
import { castRules } from './casts.ts';
import { functionRules } from './functions.ts';

/** A `promql(query, start, end, step)` or `logql(…)` in FROM. */
export interface LanguageCall {
  readonly language: Language;
  readonly args: readonly Node[];
  readonly location: number;
}

/** The schema of the references that calls become; each is called by its place in the list. */
export const languageSchema = 'firn_language';

export interface WithCalls {
  readonly node: Node;
  readonly calls: readonly LanguageCall[];
}

/** Takes the calls out of a statement; a reference to a table stands in the place of each. Throws SqlError 42883. */
export function takeLanguageCalls(
  root: Node,
  positionOf: (location: number | undefined) => number | undefined,
): WithCalls {
  const calls: LanguageCall[] = [];
  const node = rewrite(root, [
    (each) => {
      const range = as(each, 'RangeFunction');
      if (range?.functions?.length !== 1 || range.coldeflist || range.ordinality) return undefined;
      const made = as(as(range.functions[0], 'List')?.items?.[0], 'FuncCall');
      const language = plainName(made?.funcname);
      if (!made || (language !== 'promql' && language !== 'logql')) return undefined;
      const { args = [], location = 0 } = made;
      if (args.length < 1 || args.length > 4) {
        throw new SqlError('42883', `${language} takes a query, a start, an end and a step`, {
          position: positionOf(location),
          hint: `${language}('…', now() - interval '1 hour', now(), '1m'); ${language}('…', now()) is one instant`,
        });
      }
      calls.push({ language, args, location });
      const alias = range.alias ?? { aliasname: language };
      const relname = String(calls.length - 1);
      return { RangeVar: { schemaname: languageSchema, relname, inh: true, alias, location } };
    },
  ]);
  return calls.length === 0 ? { node: root, calls } : { node, calls };
}

/** How many parameters the arguments of calls need. */
export function parametersOf(calls: readonly LanguageCall[]): number {
  let most = 0;
  walk(
    calls.flatMap(({ args }) => args),
    (node) => {
      most = Math.max(most, as(node, 'ParamRef')?.number ?? 0);
    },
  );
  return most;
}

const absent: Node = { A_Const: { isnull: true, location: -1 } };

function constantOf(node: Node, values: readonly (string | null)[]): Node | undefined {
  const parameter = as(node, 'ParamRef');
  if (!parameter) return undefined;
  const value = values[(parameter.number ?? 0) - 1] ?? null;
  return value === null ? absent : text(value);
}

/**
 * A SELECT of the arguments' values: the query as text, times in microseconds, the step as text. Absent ones are NULL.
 * `values` are those of the statement's parameters, which DuckDB would want to be numbered without a hole.
 */
export function argumentsQuery({ args }: LanguageCall, values: readonly (string | null)[]): Node {
  const [query, ...rest] = args.map((arg) =>
    rewrite(arg, [(node) => constantOf(node, values), ...functionRules, ...castRules]),
  );
  const [start, end, step] = rest;
  const time = (arg: Node | undefined): Node =>
    arg ? castTo(call('epoch_us', [castTo(arg, 'timestamptz')]), 'int8') : absent;
  const selected = [
    castTo(query ?? absent, 'text'),
    time(start),
    time(end),
    step ? castTo(step, 'text') : absent,
  ];
  return {
    SelectStmt: {
      targetList: selected.map((val) => ({ ResTarget: { val, location: -1 } })),
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  } as Node;
}
