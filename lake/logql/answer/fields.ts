import type { LogExpr } from '../ast.ts';
import type { Reading } from '../collect.ts';
import { eachField, JsonError, stringText, valueEnd } from '../pipeline/json.ts';
import { readLogfmt } from '../pipeline/logfmt.ts';
import { labelNameOf, nestedName } from '../pipeline/row.ts';
import { type LogOptions, type LogStream, streamsOf } from '../query.ts';
import { parseBytes, parseGoDuration } from '../units.ts';
import { compareText } from '../value.ts';

// What fields the lines of a query have, by a sample of the newest: metadata, and what json or logfmt finds in them.

type FieldType = 'string' | 'int' | 'float' | 'boolean' | 'duration' | 'bytes';

interface Field {
  readonly label: string;
  type: FieldType;
  readonly values: Set<string>;
  readonly parsers: Set<string>;
  readonly jsonPath: readonly string[] | undefined;
}

export interface FieldsTask {
  readonly kind: 'fields';
  readonly expr: LogExpr;
  /** The lines to look at. */
  readonly log: LogOptions;
  /** The field whose values are asked for; undefined: the fields. */
  readonly name: string | undefined;
  /** Fields or values of the answer. */
  readonly limit: number;
}

/** Values of one field that are told apart. */
const valuesMax = 10_000;

/** The JSON of an answer. */
export async function fieldsText(task: FieldsTask, reading: Reading): Promise<string> {
  const { name, limit } = task;
  const found = await fieldsOf(task, reading);
  if (name !== undefined)
    return JSON.stringify({ values: [...(found.get(name)?.values ?? [])].slice(0, limit), limit });
  const fields = [...found.values()]
    .sort((a, b) => compareText(a.label, b.label))
    .slice(0, limit)
    .map(({ label, type, values, parsers, jsonPath }) => ({
      ...{ label, type, cardinality: values.size },
      parsers: parsers.size === 0 ? null : [...parsers].sort(),
      ...(jsonPath === undefined ? {} : { jsonPath }),
    }));
  return JSON.stringify({ fields, limit });
}

async function fieldsOf({ expr, log }: FieldsTask, reading: Reading): Promise<ReadonlyMap<string, Field>> {
  const fields = new Map<string, Field>();
  const parsers = expr.stages.flatMap(({ kind }) => (kind === 'json' || kind === 'logfmt' ? [kind] : []));
  for (const stream of await streamsOf(expr, log, reading)) {
    addStream(fields, stream, parsers);
    await reading.budget.breathe();
  }
  return fields;
}

function addStream(
  fields: Map<string, Field>,
  { labels, metadata, parsed, lines }: LogStream,
  parsers: readonly string[],
): void {
  for (const [name, value] of metadata) addValue(fields, name, value, undefined);
  const paths = new Map<string, readonly string[]>();
  if (parsers.includes('json'))
    addJson(lines[0] ?? '', (name, _value, _parser, path = []) => paths.set(name, path));
  for (const [name, value] of parsed) {
    if (name.startsWith('__error')) continue;
    for (const parser of parsers) addValue(fields, name, value, parser, paths.get(name));
  }
  if (parsers.length > 0) return;
  const taken = new Set([...labels, ...metadata].map(([name]) => name));
  const add = (name: string, value: string, parser: string, path?: readonly string[]): void =>
    addValue(fields, taken.has(name) ? `${name}_extracted` : name, value, parser, path);
  for (const line of lines) {
    if (line.trimStart().startsWith('{')) addJson(line, add);
    else if (line.includes('='))
      readLogfmt(line, false, (key, value) => {
        // A word by itself is no field.
        if (value !== '' && /^[a-zA-Z_][\w.-]*$/.test(key)) add(labelNameOf(key, true), value, 'logfmt');
        return true;
      });
  }
}

type AddField = (name: string, value: string, parser: string, path?: readonly string[]) => void;

function addJson(line: string, add: AddField): void {
  const walk = (start: number, prefix: string | undefined, path: readonly string[]): number =>
    eachField(line, start, (field, kind, at) => {
      if (kind === 'null' || kind === 'array') return undefined;
      const name = nestedName(prefix, field);
      if (kind === 'object') return walk(at, name, [...path, field]);
      const end = valueEnd(line, at, kind);
      if (name === '') return end;
      add(name, kind === 'string' ? stringText(line, at, end) : line.slice(at, end), 'json', [
        ...path,
        field,
      ]);
      return end;
    });
  try {
    walk(0, undefined, []);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
}

function addValue(
  fields: Map<string, Field>,
  label: string,
  value: string,
  parser: string | undefined,
  jsonPath?: readonly string[],
): void {
  let field = fields.get(label);
  if (field === undefined) {
    field = { label, type: typeOf(value), values: new Set(), parsers: new Set(), jsonPath };
    fields.set(label, field);
  }
  if (parser !== undefined) field.parsers.add(parser);
  if (field.values.size < valuesMax) field.values.add(value);
}

function typeOf(value: string): FieldType {
  if (/^-?\d+$/.test(value)) return 'int';
  if (/^-?\d*\.\d+(?:[eE][-+]?\d+)?$/.test(value)) return 'float';
  if (value === 'true' || value === 'false') return 'boolean';
  if (reads(parseGoDuration, value)) return 'duration';
  return reads(parseBytes, value) ? 'bytes' : 'string';
}

function reads(read: (text: string) => number, text: string): boolean {
  if (!/^-?[0-9.]/.test(text)) return false;
  try {
    read(text);
    return true;
  } catch {
    return false;
  }
}
