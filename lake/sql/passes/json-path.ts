import type { Node } from 'libpg-query';
import { as, call, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';

// Keys and indices of JSON operators as DuckDB's JSONPath. DuckDB reads a bare key that starts with $ or / as a path, and
// PostgreSQL never does, so keys are quoted; but for those that are words, which DuckDB finds quicker when they are bare.

const word = /^[a-z_]\w*$/i;

const quoted = (key: string): string => `."${key.replaceAll('"', '\\"')}"`;
const indexed = (index: string): string => (index.startsWith('-') ? `[#${index}]` : `[${index}]`);

/** Of the steps of `#>` and json_extract_path; a step that is a number is an index. */
export function jsonPathOf(steps: readonly string[]): string {
  return `$${steps.map((step) => (/^-?\d+$/.test(step) ? indexed(step) : quoted(step))).join('')}`;
}

/** Of the right side of `->` and `->>`: text is a key, an integer an index, whatever is not constant is seen when it runs. */
export function jsonStep(node: Node): Node {
  const key = textOf(node);
  if (key !== undefined) return text(word.test(key) ? key : `$${quoted(key)}`);
  const constant = as(node, 'A_Const');
  if (constant?.ival) return text(`$${indexed(String(constant.ival.ival ?? 0))}`);
  return call([catalogSchema, 'json_step'], [node]);
}
