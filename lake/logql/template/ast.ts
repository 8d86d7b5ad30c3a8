/** Go's text/template as readonly nodes, discriminated on `kind`. `at` is an offset in the source, for errors. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly at: number; readonly pipe: Pipe }
  | Branch
  | { readonly kind: 'template'; readonly at: number; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: 'break' | 'continue' };
export type Nodes = readonly Node[];

export interface Branch {
  readonly kind: 'if' | 'with' | 'range';
  readonly at: number;
  readonly pipe: Pipe;
  readonly then: Nodes;
  readonly otherwise: Nodes;
}

export interface Pipe {
  readonly kind: 'pipe';
  readonly at: number;
  /** Variables that it sets: `$x :=`, or two for range. */
  readonly variables: readonly string[];
  /** `:=`, and not `=`. */
  readonly declares: boolean;
  readonly commands: readonly Command[];
}

export interface Command {
  readonly kind: 'command';
  readonly at: number;
  readonly operands: readonly [Operand, ...Operand[]];
}

export type Operand =
  | { readonly kind: 'dot' | 'nil'; readonly at: number }
  | { readonly kind: 'field'; readonly at: number; readonly path: readonly string[] }
  | {
      readonly kind: 'variable';
      readonly at: number;
      readonly name: string;
      readonly path: readonly string[];
    }
  | { readonly kind: 'function'; readonly at: number; readonly name: string }
  | { readonly kind: 'chain'; readonly at: number; readonly of: Operand; readonly path: readonly string[] }
  | Literal
  | Pipe;
/** `text` is how it is written. */
export interface Literal {
  readonly kind: 'string' | 'number' | 'boolean';
  readonly at: number;
  readonly text: string;
  readonly value: string | number | bigint | boolean;
}

/** The templates of one source: its own, and those that it defines. */
export interface Templates {
  readonly name: string;
  readonly source: string;
  readonly main: Nodes;
  readonly defined: ReadonlyMap<string, Nodes>;
}

/** What stands in an error for a node, as Go writes it. */
export function nodeText(node: Node | Pipe | Command | Operand): string {
  switch (node.kind) {
    case 'text':
      return node.text;
    case 'action':
      return `{{${nodeText(node.pipe)}}}`;
    case 'template': {
      const pipe = node.pipe === undefined ? '' : ` ${nodeText(node.pipe)}`;
      return `{{template ${JSON.stringify(node.name)}${pipe}}}`;
    }
    case 'pipe': {
      const set = node.variables.join(', ');
      const commands = node.commands.map(nodeText).join(' | ');
      return set === '' ? commands : `${set} ${node.declares ? ':=' : '='} ${commands}`;
    }
    case 'command':
      return node.operands.map(operandText).join(' ');
    case 'dot':
      return '.';
    case 'nil':
      return 'nil';
    case 'field':
      return pathText(node.path);
    case 'variable':
      return node.name + pathText(node.path);
    case 'chain':
      return operandText(node.of) + pathText(node.path);
    case 'function':
      return node.name;
    case 'string':
    case 'number':
    case 'boolean':
      return node.text;
    default:
      return `{{${node.kind}}}`;
  }
}

const operandText = (operand: Operand): string =>
  operand.kind === 'pipe' ? `(${nodeText(operand)})` : nodeText(operand);
const pathText = (path: readonly string[]): string => path.map((name) => `.${name}`).join('');

/**
 * Values: strings, floats (number), Go's int (bigint) and int64, truth, times, lists and maps. `null` is a nil that has
 * a type, as JSON's; `undefined` is no value at all.
 */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Time
  | Int64
  | readonly Value[]
  | ReadonlyMap<string, Value>;
export interface Time {
  readonly kind: 'time';
  readonly ns: bigint;
  readonly zone: string;
}
export interface Int64 {
  readonly kind: 'int64';
  readonly value: bigint;
}
/** A line's labels: what is missing there is an empty text, and not nil. */
export class Labels extends Map<string, Value> {}

const kindOf = (value: Value): string | undefined =>
  typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
export const isTime = (value: Value): value is Time => kindOf(value) === 'time';
export const isInt64 = (value: Value): value is Int64 => kindOf(value) === 'int64';
export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
export const isMap = (value: Value): value is ReadonlyMap<string, Value> => value instanceof Map;
export const isNil = (value: Value): value is null | undefined => value === null || value === undefined;
export const int64 = (value: bigint): Int64 => ({ kind: 'int64', value: BigInt.asIntN(64, value) });
/** An int or an int64, which compare with each other. */
export const integerOf = (value: Value): bigint | undefined =>
  typeof value === 'bigint' ? value : isInt64(value) ? value.value : undefined;

/** What Go calls its type. */
export function typeName(value: Value): string {
  if (isNil(value)) return 'interface {}';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (isTime(value)) return 'time.Time';
  if (isInt64(value)) return 'int64';
  if (isList(value)) return '[]interface {}';
  return value instanceof Labels ? 'map[string]string' : 'map[string]interface {}';
}

/** The zero of a type is false. */
export function isTrue(value: Value): boolean {
  if (isNil(value)) return false;
  if (isList(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  const integer = integerOf(value);
  if (integer !== undefined) return integer !== 0n;
  return value !== '' && value !== false && value !== 0;
}
