import { messageOf } from '../../base/errors.ts';
import { templateCharactersMax } from '../limits.ts';
import type { Command, Node, Nodes, Operand, Pipe, Value } from './ast.ts';
import { isTime } from './ast.ts';
import { functions, type TemplateFunction, tooLong } from './functions.ts';
import { parseTemplate } from './parse.ts';
import { textOf, typeName } from './text.ts';

/** What a template sees of a line. */
export interface TemplateInput {
  readonly line: string;
  readonly timestampNs: bigint;
  label(name: string): string | undefined;
  labels(): ReadonlyMap<string, string>;
}

const own = [
  '__line__',
  '__timestamp__',
  'and',
  'or',
  'not',
  'index',
  'slice',
  'eq',
  'ne',
  'lt',
  'le',
  'gt',
  'ge',
];
const names: ReadonlySet<string> = new Set([...own, ...Object.keys(functions)]);

/**
 * A template, read once. Its function throws an Error with Go's text when it cannot be carried out on a line. `name` is
 * the template's in errors: line or label.
 */
export function compileTemplate(name: string, source: string): (input: TemplateInput) => string {
  const nodes = parseTemplate(name, source, names);
  const [only] = nodes;
  // One label, as most templates of label_format are.
  if (nodes.length === 1 && only?.kind === 'text') return () => only.text;
  return (input) => {
    const run: Run = { name, source, input, out: '', scopes: [new Map()], dot: undefined };
    runAll(run, nodes);
    return run.out;
  };
}

interface Run {
  readonly name: string;
  readonly source: string;
  readonly input: TemplateInput;
  readonly scopes: Map<string, Value>[];
  out: string;
  /** Undefined: the labels. */
  dot: Value | undefined;
}

type Outcome = 'break' | 'continue' | undefined;

function runAll(run: Run, nodes: Nodes): Outcome {
  for (const node of nodes) {
    const outcome = runNode(run, node);
    if (outcome !== undefined) return outcome;
  }
  return undefined;
}

function runNode(run: Run, node: Node): Outcome {
  switch (node.kind) {
    case 'text':
      write(run, node.text);
      return undefined;
    case 'action': {
      const value = pipeValue(run, node.pipe);
      if (node.pipe.variables.length === 0) write(run, textOf(value));
      return undefined;
    }
    case 'if':
    case 'with':
      return scoped(run, () => {
        const value = pipeValue(run, node.pipe);
        if (!isTrue(value)) return runAll(run, node.otherwise);
        return node.kind === 'if'
          ? runAll(run, node.then)
          : withDot(run, value, () => runAll(run, node.then));
      });
    case 'range':
      return scoped(run, () => runRange(run, node));
    case 'break':
    case 'continue':
      return node.kind;
  }
}

function write(run: Run, text: string): void {
  run.out += text;
  if (run.out.length > templateCharactersMax) throw tooLong();
}

function scoped<T>(run: Run, body: () => T): T {
  run.scopes.push(new Map());
  const result = body();
  run.scopes.pop();
  return result;
}

function withDot<T>(run: Run, dot: Value, body: () => T): T {
  const before = run.dot;
  run.dot = dot;
  const result = body();
  run.dot = before;
  return result;
}

function runRange(run: Run, node: Node & { kind: 'range' }): Outcome {
  const value = pipeValue(run, { ...node.pipe, variables: [] });
  const items = itemsOf(value);
  if (items.length === 0) return runAll(run, node.otherwise);
  for (const [key, item] of items) {
    const [first, second] = node.pipe.variables;
    const scope = run.scopes.at(-1);
    if (second !== undefined && first !== undefined) scope?.set(first, key).set(second, item);
    else if (first !== undefined) scope?.set(first, item);
    if (withDot(run, item, () => runAll(run, node.then)) === 'break') break;
  }
  return undefined;
}

function itemsOf(value: Value): readonly (readonly [Value, Value])[] {
  if (Array.isArray(value)) return value.map((item: Value, index) => [BigInt(index), item] as const);
  if (value instanceof Map) return [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  if (typeof value === 'bigint' && value < 100_000n)
    return Array.from({ length: Number(value) }, (_, index) => [BigInt(index), BigInt(index)] as const);
  if (value === null) return [];
  throw new Error(`range can't iterate over ${textOf(value)}`);
}

function isTrue(value: Value): boolean {
  if (value === null || value === '' || value === false || value === 0 || value === 0n) return false;
  if (Array.isArray(value)) return value.length > 0;
  return value instanceof Map ? value.size > 0 : true;
}

function pipeValue(run: Run, pipe: Pipe): Value {
  let value: Value | undefined;
  for (const command of pipe.commands) value = commandValue(run, command, value);
  const result = value ?? null;
  for (const name of pipe.variables) setVariable(run, name, result, pipe.declares);
  return result;
}

function setVariable({ scopes }: Run, name: string, value: Value, declares: boolean): void {
  const scope = declares ? scopes.at(-1) : scopes.findLast((one) => one.has(name));
  if (scope === undefined) throw new Error(`undefined variable ${JSON.stringify(name)}`);
  scope.set(name, value);
}

/** `last` is the value of the command before it in the pipe: the last argument. */
function commandValue(run: Run, command: Command, last: Value | undefined): Value {
  const [first, ...rest] = command;
  if (first === undefined) return null;
  if (first.kind === 'call') return call(run, first, rest, last);
  if (rest.length > 0 || last !== undefined)
    throw failure(run, 'at' in first ? first.at : 0, `can't give argument to non-function`);
  return operandValue(run, first);
}

function operandValue(run: Run, operand: Operand): Value {
  switch (operand.kind) {
    case 'literal':
      return operand.value;
    case 'field':
      return fieldValue(run, operand);
    case 'variable': {
      if (operand.name === '$') return member(new Map(run.input.labels()), operand.path);
      const value = run.scopes.findLast((scope) => scope.has(operand.name))?.get(operand.name);
      if (value === undefined) throw new Error(`undefined variable ${JSON.stringify(operand.name)}`);
      return member(value, operand.path);
    }
    case 'pipe':
      return member(pipeValue(run, operand.pipe), operand.path);
    case 'call':
      return call(run, operand, [], undefined);
  }
}

function fieldValue(run: Run, { path }: Operand & { kind: 'field' }): Value {
  if (run.dot !== undefined) return member(run.dot, path);
  const [first, ...rest] = path;
  if (first === undefined) return new Map(run.input.labels());
  return member(run.input.label(first) ?? '', rest);
}

function member(value: Value, path: readonly string[]): Value {
  let found = value;
  for (const name of path) {
    if (found instanceof Map) found = found.get(name) ?? null;
    else if (found === null) throw new Error(`nil pointer evaluating interface {}.${name}`);
    else throw new Error(`can't evaluate field ${name} in type ${typeName(found)}`);
  }
  return found;
}

/** The place of an error is that of its line, from 1, and of its character there, from 0. */
function failure({ name, source }: Run, at: number, message: string, what = ''): Error {
  const before = source.slice(0, at);
  const line = before.split('\n').length;
  const column = Buffer.byteLength(before.slice(before.lastIndexOf('\n') + 1));
  return new Error(`template: ${name}:${line}:${column}: executing "${name}" at <${what}>: ${message}`);
}

function call(
  run: Run,
  { name, at }: { readonly name: string; readonly at: number },
  operands: readonly Operand[],
  last: Value | undefined,
): Value {
  if (name === '__line__') return run.input.line;
  if (name === '__timestamp__') return { kind: 'time', ns: run.input.timestampNs, zone: 'UTC' };
  if (name === 'and' || name === 'or') {
    let value: Value = null;
    for (const operand of operands) {
      value = operandValue(run, operand);
      if (isTrue(value) === (name === 'or')) return value;
    }
    return last === undefined ? value : last;
  }
  const args = operands.map((operand) => operandValue(run, operand));
  if (last !== undefined) args.push(last);
  const { arity, more, call: body } = functionOf(name);
  if (more ? args.length < arity : args.length !== arity) {
    const want = more ? `at least ${arity}` : arity;
    throw failure(run, at, `wrong number of args for ${name}: want ${want} got ${args.length}`, name);
  }
  try {
    return body(args);
  } catch (cause) {
    throw failure(run, at, `error calling ${name}: ${messageOf(cause)}`, name);
  }
}

const compare = (test: (order: number) => boolean): TemplateFunction => ({
  arity: 2,
  call: ([a = null, b = null]) => test(orderOf(a, b)),
});

function orderOf(a: Value, b: Value): number {
  if (typeof a === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  const number = (value: Value): value is number | bigint =>
    typeof value === 'number' || typeof value === 'bigint';
  if (typeof a === typeof b && number(a) && number(b)) return a < b ? -1 : a > b ? 1 : 0;
  throw new Error('incompatible types for comparison');
}

function same(a: Value, b: Value): boolean {
  if (typeof a !== typeof b || (typeof a === 'object' && a !== null && !isTime(a)))
    throw new Error('incompatible types for comparison');
  return a === b;
}

const logical: Readonly<Record<string, TemplateFunction>> = {
  not: { arity: 1, call: ([value = null]) => !isTrue(value) },
  eq: { arity: 2, more: true, call: ([a = null, ...rest]) => rest.some((b) => same(a, b)) },
  ne: { arity: 2, call: ([a = null, b = null]) => !same(a, b) },
  lt: compare((order) => order < 0),
  le: compare((order) => order <= 0),
  gt: compare((order) => order > 0),
  ge: compare((order) => order >= 0),
  index: {
    arity: 1,
    more: true,
    call: ([value = null, ...keys]) => keys.reduce<Value>(indexed, value),
  },
  slice: {
    arity: 1,
    more: true,
    call: ([value = null, from = 0n, to]) => {
      const end = to === undefined ? undefined : Number(to);
      if (typeof value === 'string') return Buffer.from(value).subarray(Number(from), end).toString();
      if (Array.isArray(value)) return value.slice(Number(from), end);
      throw new Error(`can't slice item of type ${typeName(value)}`);
    },
  },
};

function indexed(value: Value, key: Value): Value {
  if (value instanceof Map) return value.get(textOf(key)) ?? '';
  if (Array.isArray(value) && typeof key === 'bigint') {
    const item = value[Number(key)] as Value | undefined;
    if (item === undefined) throw new Error(`index out of range: ${key}`);
    return item;
  }
  throw new Error(`can't index item of type ${typeName(value)}`);
}

const functionOf = (name: string): TemplateFunction => {
  const found = functions[name] ?? logical[name];
  if (found === undefined) throw new Error(`function ${JSON.stringify(name)} not defined`);
  return found;
};
