import { type Node, parseSync } from 'libpg-query';
import type { AsOf } from '../tables.ts';
import { as, call, castTo, rewrite } from './ast.ts';
import { castRules } from './passes/casts.ts';
import { functionRules } from './passes/functions.ts';
import type { Travel } from './time-travel.ts';

// What an AS OF names, computed when the statement runs.

/** A SELECT of the microseconds of the time that a travel says. Throws SqlError. */
export function travelTimeQuery({ expression }: Travel): Node {
  const select = as(parseSync(`SELECT ${expression}`).stmts?.[0]?.stmt, 'SelectStmt');
  const value = as(select?.targetList?.[0], 'ResTarget')?.val;
  if (!value) throw new TypeError(`AS OF ${expression} has no value`);
  const time = rewrite(value, [...functionRules, ...castRules]);
  const val = castTo(call('epoch_us', [castTo(time, 'timestamptz')]), 'int8');
  return {
    SelectStmt: {
      targetList: [{ ResTarget: { val, location: -1 } }],
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  } as Node;
}

/** Digits are the id of a snapshot; text is a tag, or such an id. */
export function versionOf(expression: string): AsOf {
  const text = expression.startsWith("'") ? expression.slice(1, -1).replaceAll("''", "'") : expression;
  return /^\d{1,19}$/.test(text) ? { kind: 'snapshot', id: BigInt(text) } : { kind: 'tag', name: text };
}
