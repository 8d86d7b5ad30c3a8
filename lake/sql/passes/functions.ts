import type { Node } from 'libpg-query';
import { as, call, castTo, type Fields, namesOf, type Rule, string } from '../ast.ts';
import { catalogFunctions, catalogTableFunctions } from '../catalog/functions.ts';
import { catalogSchema } from '../catalog/view.ts';
import { SqlError } from '../errors.ts';
import { nowFunction } from '../print/call.ts';
import { functionForms } from './function-forms.ts';
import { allowedFunctions, deniedFunctions, renamedFunctions } from './function-names.ts';
import { operatorRule } from './operators.ts';
import { tableFunctionRule } from './table-functions.ts';

/** Where in the client's text a location of the tree is. */
export type PositionOf = (location: number | undefined) => number | undefined;

/**
 * Functions and operators of PostgreSQL in DuckDB's words: renamed, rewritten (function-forms.ts, operators.ts), or sent
 * to the catalog's macros. A function that is not on the list of those allowed is refused with SqlError 42883, one that
 * reads files or looks at the engine with 42501.
 */
export const functionRulesAt = (positionOf: PositionOf): readonly Rule[] => [
  (node) => {
    const found = as(node, 'FuncCall');
    return found && functionCall(found, positionOf);
  },
  // After calls, which would not know the macro that it makes.
  (node) => valueFunction(as(node, 'SQLValueFunction')?.op),
  (node) => operatorRule(node, positionOf),
  tableFunctionRule,
];

/** The rules for a caller that can't say where: their errors have no position. */
export const functionRules: readonly Rule[] = functionRulesAt(() => undefined);

function functionCall(found: Fields<'FuncCall'>, positionOf: PositionOf): Node {
  const names = namesOf(found.funcname);
  const position = positionOf(found.location);
  const [schema, name = ''] =
    names.length > 1 ? [names.slice(0, -1).join('.'), names.at(-1)] : ['', names[0]];
  if (deniedFunctions.test(name)) {
    throw new SqlError('42501', `permission denied for function ${name}`, {
      position,
      hint: 'statements read the tables metrics and logs, and nothing else',
    });
  }
  const known = /^(|pg_catalog|public|information_schema)$/.test(schema);
  const form = known && Object.hasOwn(functionForms, name) ? functionForms[name] : undefined;
  const formed = form?.(found, position);
  if (formed) return formed;
  const renamed = (Object.hasOwn(renamedFunctions, name) ? renamedFunctions[name] : undefined) ?? name;
  const at = (...funcname: string[]): Node => ({ FuncCall: { ...found, funcname: funcname.map(string) } });
  if (known && (catalogFunctions.has(renamed) || catalogTableFunctions.has(renamed)))
    return at(catalogSchema, renamed);
  if (known && (allowedFunctions.has(name) || renamed !== name)) return at(renamed);
  throw new SqlError('42883', `function ${names.join('.')} does not exist`, {
    position,
    hint: 'no function of this name can be called here; see the documentation for those that can',
  });
}

/** Functions that are written without parentheses. */
function valueFunction(op: Fields<'SQLValueFunction'>['op']): Node | undefined {
  const now = call(nowFunction, []);
  switch (op) {
    case undefined:
      return undefined;
    case 'SVFOP_CURRENT_DATE':
      return castTo(now, 'date');
    case 'SVFOP_CURRENT_TIME':
    case 'SVFOP_CURRENT_TIME_N':
      return castTo(now, 'timetz');
    case 'SVFOP_LOCALTIME':
    case 'SVFOP_LOCALTIME_N':
      return castTo(now, 'time');
    case 'SVFOP_LOCALTIMESTAMP':
    case 'SVFOP_LOCALTIMESTAMP_N':
      return castTo(now, 'timestamp');
    case 'SVFOP_CURRENT_TIMESTAMP':
    case 'SVFOP_CURRENT_TIMESTAMP_N':
      return now;
    case 'SVFOP_CURRENT_CATALOG':
      return call([catalogSchema, 'current_database'], []);
    case 'SVFOP_CURRENT_SCHEMA':
      return call([catalogSchema, 'current_schema'], []);
    default:
      return call([catalogSchema, 'current_user'], []);
  }
}
