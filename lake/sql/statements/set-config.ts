import type { Node } from 'libpg-query';
import { as, castTo, plainName, rewrite, text, textOf } from '../ast.ts';
import { notSupported } from '../errors.ts';
import type { Parameters } from '../parameters.ts';
import type { SqlStatement } from '../sql-session.ts';

interface Setting {
  readonly name: string;
  readonly value: string;
  readonly local: boolean;
}

/**
 * `set_config('name', 'value', is_local)` in a SELECT: the call becomes its value, and what it sets is set when the
 * statement runs. PostgreSQL would call it for each row; clients select it alone.
 */
export function takeSettings(node: Node): { readonly node: Node; readonly settings: readonly Setting[] } {
  const settings: Setting[] = [];
  const rest = rewrite(node, [
    (each) => {
      const call = as(each, 'FuncCall');
      if (!call || plainName(call.funcname) !== 'set_config') return undefined;
      const [name, value, local] = call.args ?? [];
      const [nameText, valueText] = [textOf(name), textOf(value)];
      if (nameText === undefined || valueText === undefined)
        throw notSupported('set_config with arguments that are not constant');
      const isLocal = as(local, 'A_Const')?.boolval?.boolval ?? textOf(local) === 't';
      settings.push({ name: nameText, value: valueText, local: isLocal });
      return castTo(text(valueText), 'text');
    },
  ]);
  return settings.length === 0 ? { node, settings } : { node: rest, settings };
}

/** The statement, which sets them first. */
export function applying(
  statement: SqlStatement,
  settings: readonly Setting[],
  parameters: Parameters,
): SqlStatement {
  if (settings.length === 0) return statement;
  return {
    ...statement,
    execute: (values, signal) => {
      for (const { name, value, local } of settings) parameters.set(name, value, local);
      return statement.execute(values, signal);
    },
  };
}
