import type { Node } from 'libpg-query';
import { as, call, namesOf, type Rule } from '../ast.ts';
import { SqlError } from '../errors.ts';
import { catalogSchema } from '../names.ts';

/** Same meaning, another name in DuckDB. */
const renamed: Readonly<Record<string, string>> = {
  position: 'strpos',
  btrim: 'trim',
  extract: 'date_part',
  char_length: 'length',
  character_length: 'length',
  octet_length: 'strlen',
  json_array_elements: 'json_each',
  jsonb_array_length: 'json_array_length',
  jsonb_typeof: 'json_type',
  json_typeof: 'json_type',
  to_json: 'to_json',
  to_jsonb: 'to_json',
  json_build_object: 'json_object',
  jsonb_build_object: 'json_object',
  json_build_array: 'json_array',
  jsonb_build_array: 'json_array',
  json_agg: 'json_group_array',
  jsonb_agg: 'json_group_array',
  json_object_agg: 'json_group_object',
  jsonb_object_agg: 'json_group_object',
  every: 'bool_and',
  pow: 'power',
  div: 'divide',
  regexp_split_to_array: 'string_split_regex',
};

/**
 * Names of functions: those that Firn defines (catalog/functions.ts) get their schema, pg_catalog is dropped from the
 * rest, and any other schema has no functions.
 */
export function functionsRule(
  macros: ReadonlySet<string>,
  positionOf: (location: number | undefined) => number | undefined,
): Rule {
  return (node) => {
    const found = as(node, 'FuncCall');
    if (!found) return undefined;
    const names = namesOf(found.funcname);
    const name = names.at(-1) ?? '';
    if (names.length > 1 && names[0] === catalogSchema) return undefined;
    if (names.length > 2 || (names.length === 2 && names[0] !== 'pg_catalog')) {
      throw new SqlError('42883', `function ${names.join('.')} does not exist`, {
        position: positionOf(found.location),
      });
    }
    if (macros.has(name)) return renameTo(found, [catalogSchema, name]);
    const other = Object.hasOwn(renamed, name) ? renamed[name] : undefined;
    return other !== undefined || names.length > 1 ? renameTo(found, [other ?? name]) : undefined;
  };
}

function renameTo(found: NonNullable<ReturnType<typeof as<'FuncCall'>>>, names: readonly string[]): Node {
  const renamedCall = as(call(names, []), 'FuncCall');
  return { FuncCall: { ...found, funcname: renamedCall?.funcname ?? [] } };
}
