import { LogqlError } from '../../logql/errors.ts';
import { parseExpr } from '../../logql/parse.ts';
import { eachField, JsonError, stringText, valueEnd } from '../../logql/pipeline/json.ts';
import { readLogfmt } from '../../logql/pipeline/logfmt.ts';
import { labelNameOf } from '../../logql/pipeline/row.ts';
import { type LogStream, type QueryOptions, runQuery } from '../../logql/query.ts';
import { parseBytes, parseGoDuration } from '../../logql/units.ts';
import { compareText } from '../../logql/value.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import { countParameter, rangeParameters } from './parameters.ts';
import { nowNs } from './queries.ts';
import { bare } from './respond.ts';

// What fields the lines of a query have, by a sample of the newest: metadata, and what json or logfmt finds in them.

type FieldType = 'string' | 'int' | 'float' | 'boolean' | 'duration' | 'bytes';

interface Field {
  readonly label: string;
  type: FieldType;
  readonly values: Set<string>;
  readonly parsers: Set<string>;
  readonly jsonPath: readonly string[] | undefined;
}

const linesByDefault = 1000;
const fieldsByDefault = 1000;
/** Values of one field that are told apart. */
const valuesMax = 10_000;

async function fieldsOf(parameters: Parameters, options: QueryOptions): Promise<ReadonlyMap<string, Field>> {
  const range = rangeParameters(parameters, nowNs(options.clock));
  const limit = Math.min(countParameter(parameters, 'line_limit', linesByDefault), options.limits.entriesMax);
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind !== 'log') throw new LogqlError('parse', 'only log queries are supported');
  const log = { ...range, limit, direction: 'backward' as const, intervalNs: 0 };
  const { data } = await runQuery({ kind: 'log', expr, log }, options);
  const fields = new Map<string, Field>();
  if (data.type !== 'streams') return fields;
  const parsers = expr.stages.flatMap(({ kind }) => (kind === 'json' || kind === 'logfmt' ? [kind] : []));
  for (const stream of data.streams) addStream(fields, stream, parsers);
  return fields;
}

function addStream(
  fields: Map<string, Field>,
  { labels, metadata, parsed, lines }: LogStream,
  parsers: readonly string[],
): void {
  for (const [name, value] of metadata) addValue(fields, name, value, undefined);
  for (const [name, value] of parsed)
    if (!name.startsWith('__error')) for (const parser of parsers) addValue(fields, name, value, parser);
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
  const walk = (start: number, prefix: string, path: readonly string[]): number =>
    eachField(line, start, (field, kind, at) => {
      if (kind === 'null' || kind === 'array') return undefined;
      const name = prefix === '' ? labelNameOf(field, true) : `${prefix}_${labelNameOf(field, false)}`;
      if (kind === 'object') return walk(at, name, [...path, field]);
      const end = valueEnd(line, at, kind);
      add(name, kind === 'string' ? stringText(line, at, end) : line.slice(at, end), 'json', [
        ...path,
        field,
      ]);
      return end;
    });
  try {
    walk(0, '', []);
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

/** GET and POST /loki/api/v1/detected_fields. */
export async function answerDetectedFields(parameters: Parameters, options: QueryOptions): Promise<Response> {
  const limit = countParameter(parameters, 'limit', fieldsByDefault);
  const fields = [...(await fieldsOf(parameters, options)).values()]
    .sort((a, b) => compareText(a.label, b.label))
    .slice(0, limit)
    .map(({ label, type, values, parsers, jsonPath }) => ({
      ...{ label, type, cardinality: values.size },
      parsers: parsers.size === 0 ? null : [...parsers].sort(),
      ...(jsonPath === undefined ? {} : { jsonPath }),
    }));
  return bare({ fields, limit });
}

/** GET and POST /loki/api/v1/detected_field/:name/values. */
export async function answerDetectedFieldValues(
  parameters: Parameters,
  name: string,
  options: QueryOptions,
): Promise<Response> {
  const limit = countParameter(parameters, 'limit', fieldsByDefault);
  const field = (await fieldsOf(parameters, options)).get(name);
  return bare({ values: [...(field?.values ?? [])].slice(0, limit), limit });
}
