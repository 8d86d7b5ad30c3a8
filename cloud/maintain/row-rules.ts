import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { RowTest } from '../../lake/parquet/merge-streaming.ts';
import { parseSelector } from '../../lake/promql/parse-selector.ts';
import { compileRegexp } from '../../lake/promql/regexp.ts';

/** Rows that are to go, as plain data: it is stored, and sent to the merging thread. */
export interface RowRule {
  /** A series selector, such as `{site="plant-a",level="debug"}`; '' is all rows. */
  readonly selector: string;
  /** Microseconds, both inclusive; absent: no bound. */
  readonly fromUs?: number;
  readonly toUs?: number;
}

interface Condition {
  readonly name: string;
  readonly holds: (value: string) => boolean;
}

/** The conditions of a selector. Throws FirnError `invalid` in PromQL's words. */
export function parseConditions(selector: string): readonly Condition[] {
  if (selector.trim() === '') return [];
  try {
    const { name, matchers } = parseSelector(selector);
    const named = name === '' ? [] : [{ label: '__name__', op: '=' as const, value: name }];
    return [...named, ...matchers].map(({ label, op, value }): Condition => {
      if (op === '=') return { name: label, holds: (text) => text === value };
      if (op === '!=') return { name: label, holds: (text) => text !== value };
      const expression = compileRegexp(value);
      const matches = op === '=~';
      return { name: label, holds: (text) => expression.test(text) === matches };
    });
  } catch (cause) {
    throw new FirnError({
      code: 'invalid',
      operation: 'read selector',
      subject: selector,
      message: `${JSON.stringify(selector)} is no selector: ${messageOf(cause)}`,
      hint: 'write it like {site="plant-a",level="debug"} or temperature{room="1"}',
      cause,
    });
  }
}

/** The metric name that a rule's rows have, where it asks for one. */
export function nameOfRule({ selector }: RowRule): string | undefined {
  if (selector.trim() === '') return undefined;
  const { name, matchers } = parseSelector(selector);
  const asked = matchers.find(({ label, op, value }) => label === '__name__' && op === '=' && value !== '');
  return name === '' ? asked?.value : name;
}

/** JSON texts that hold the values of names which are no columns, in the order in which they are looked at. */
const jsonColumns = ['labels', 'attributes', 'resource'] as const;

/** True for rows that any of the rules is about. */
export function rowTest(rules: readonly RowRule[]): RowTest {
  const parsed = rules.map(({ selector, fromUs, toUs }) => ({
    conditions: parseConditions(selector),
    from: fromUs === undefined ? undefined : BigInt(Math.ceil(fromUs)),
    to: toUs === undefined ? undefined : BigInt(Math.floor(toUs)),
  }));
  // The texts of a series are the same objects' contents again and again.
  const objects = new Map<string, Readonly<Record<string, unknown>>>();
  return ({ columns }) => {
    const timestamp = columns.get('timestamp');
    const textIn = (name: string, row: number): string => {
      for (const json of jsonColumns) {
        const text = columns.get(json)?.[row];
        if (typeof text !== 'string') continue;
        const value = parsedJson(objects, text)[name];
        if (value !== undefined) return typeof value === 'string' ? value : JSON.stringify(value);
      }
      return String(columns.get(name === '__name__' ? 'name' : name)?.[row] ?? '');
    };
    return (row) =>
      parsed.some(({ conditions, from, to }) => {
        const at = timestamp?.[row] as bigint;
        if ((from !== undefined && at < from) || (to !== undefined && at > to)) return false;
        return conditions.every(({ name, holds }) => holds(textIn(name, row)));
      });
  };
}

const objectsMax = 10_000;

function parsedJson(
  objects: Map<string, Readonly<Record<string, unknown>>>,
  text: string,
): Readonly<Record<string, unknown>> {
  const known = objects.get(text);
  if (known) return known;
  if (objects.size >= objectsMax) objects.clear();
  const parsed = JSON.parse(text) as Record<string, unknown>;
  objects.set(text, parsed);
  return parsed;
}
