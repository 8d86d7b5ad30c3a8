import { messageOf } from '../../base/errors.ts';
import { templateCharactersMax, templateDepthMax, templateStepsMax } from '../limits.ts';
import {
  type Branch,
  type Command,
  isInt64,
  isList,
  isMap,
  isNil,
  isTrue,
  Labels,
  type Node,
  type Nodes,
  nodeText,
  type Operand,
  type Pipe,
  type Templates,
  typeName,
  type Value,
} from './ast.ts';
import { builtins } from './builtins.ts';
import { functions, type Parameter, type TemplateFunction, timeMethods, tooLong } from './functions.ts';
import { parseTemplate } from './parse.ts';
import { sortedEntries, textOf } from './text.ts';

// Go's text/template, carried out; the names of what happens here are those of its own exec.go.

/** What a template sees of a line. */
export interface TemplateInput {
  readonly line: string;
  readonly timestampNs: bigint;
  label(name: string): string | undefined;
  labels(): ReadonlyMap<string, string>;
}

const own = ['__line__', '__timestamp__', 'and', 'or', 'call'];
const names: ReadonlySet<string> = new Set([...own, ...Object.keys(builtins), ...Object.keys(functions)]);

/**
 * A template, read once. Its function throws an Error with Go's text when it cannot be carried out on a line. `name` is
 * the template's in errors: line or label.
 */
export function compileTemplate(name: string, source: string): (input: TemplateInput) => string {
  const templates = parseTemplate(name, source, names);
  const [only] = templates.main;
  // One label, as most templates of label_format are.
  if (templates.main.length === 1 && only?.kind === 'text') return () => only.text;
  return (input) => {
    const output = { text: '', steps: 0 };
    walk(
      { templates, name, input, output, variables: [['$', root]], node: undefined, depth: 0 },
      root,
      templates.main,
    );
    return output.text;
  };
}

/** The labels of the line, which are put together only where all of them are asked for. */
const root = Symbol('labels');
/** `typeof root` stands for them. */
type Seen = Value | typeof root;

interface Run {
  readonly templates: Templates;
  /** Of the template that is carried out. */
  readonly name: string;
  readonly input: TemplateInput;
  readonly output: { text: string; steps: number };
  readonly variables: [name: string, value: Seen][];
  readonly depth: number;
  /** Where it is, for errors. */
  node: Node | Pipe | Command | Operand | undefined;
}

function failure({ templates, name, node }: Run, message: string): Error {
  const at = node !== undefined && 'at' in node ? node.at : 0;
  const before = templates.source.slice(0, at);
  const line = before.split('\n').length;
  // From 0, of the line.
  const column = Buffer.byteLength(before.slice(before.lastIndexOf('\n') + 1));
  const context = node === undefined ? '' : nodeText(node);
  return new Error(
    `template: ${templates.name}:${line}:${column}: executing ${JSON.stringify(name)} at <${context}>: ${message}`,
  );
}

type Outcome = 'break' | 'continue' | undefined;

function walk(run: Run, dot: Seen, nodes: Nodes): Outcome {
  for (const node of nodes) {
    if (++run.output.steps > templateStepsMax)
      throw failure(run, `more than ${templateStepsMax} steps (templateStepsMax)`);
    const outcome = walkNode(run, dot, node);
    if (outcome !== undefined) return outcome;
  }
  return undefined;
}

function walkNode(run: Run, dot: Seen, node: Node): Outcome {
  run.node = node;
  switch (node.kind) {
    case 'text':
      write(run, node.text);
      return undefined;
    case 'action': {
      const value = unboxed(run, evalPipeline(run, dot, node.pipe));
      if (node.pipe.variables.length === 0) write(run, isNil(value) ? '<no value>' : textOf(value));
      return undefined;
    }
    case 'if':
    case 'with':
    case 'range':
      return scoped(run, () => (node.kind === 'range' ? walkRange(run, dot, node) : walkIf(run, dot, node)));
    case 'template':
      return walkTemplate(run, dot, node);
    case 'break':
    case 'continue':
      return node.kind;
  }
}

function write(run: Run, text: string): void {
  run.output.text += text;
  if (run.output.text.length > templateCharactersMax) throw tooLong();
}

/** Variables last until the end of what they are in. */
function scoped<T>({ variables }: Run, body: () => T): T {
  const known = variables.length;
  const result = body();
  variables.length = known;
  return result;
}

function walkIf(run: Run, dot: Seen, { kind, pipe, then, otherwise }: Branch): Outcome {
  const value = evalPipeline(run, dot, pipe);
  if (!isTrue(unboxed(run, value))) return walk(run, dot, otherwise);
  return walk(run, kind === 'with' ? value : dot, then);
}

function walkRange(run: Run, dot: Seen, { pipe, then, otherwise }: Branch): Outcome {
  const value = unboxed(run, evalPipeline(run, dot, pipe));
  const { variables, declares } = pipe;
  const [first, second] = variables;
  let count = 0;
  for (const [index, item] of itemsOf(run, value, second !== undefined)) {
    count++;
    const outcome = scoped(run, () => {
      const element = second ?? first;
      if (declares) {
        if (element !== undefined) run.variables.push([element, item]);
        if (second !== undefined && first !== undefined) run.variables.push([first, index]);
      } else {
        if (element !== undefined) setVariable(run, element, item);
        if (second !== undefined && first !== undefined) setVariable(run, first, index);
      }
      return walk(run, item, then);
    });
    if (outcome === 'break') break;
  }
  return count === 0 ? walk(run, dot, otherwise) : undefined;
}

function* itemsOf(run: Run, value: Value, twice: boolean): Generator<readonly [Value, Value]> {
  if (isNil(value)) return;
  if (isList(value)) {
    for (const [index, item] of value.entries()) yield [BigInt(index), item];
  } else if (isMap(value)) yield* sortedEntries(value);
  else if (typeof value === 'bigint' || isInt64(value)) {
    if (twice) throw failure(run, `can't use ${textOf(value)} to iterate over more than one variable`);
    const end = isInt64(value) ? value.value : value;
    for (let index = 0n; index < end; index++) yield [undefined, index];
  } else throw failure(run, `range can't iterate over ${textOf(value)}`);
}

function walkTemplate(run: Run, dot: Seen, node: Node & { kind: 'template' }): Outcome {
  const nodes = run.templates.defined.get(node.name);
  if (nodes === undefined) throw failure(run, `template ${JSON.stringify(node.name)} not defined`);
  if (run.depth >= templateDepthMax)
    throw failure(run, `exceeded maximum template depth (${templateDepthMax}, templateDepthMax)`);
  const inner = node.pipe === undefined ? undefined : evalPipeline(run, dot, node.pipe);
  walk({ ...run, name: node.name, depth: run.depth + 1, variables: [['$', inner]] }, inner, nodes);
  return undefined;
}

/** As a value. */
const unboxed = ({ input }: Run, value: Seen): Value => (value === root ? new Labels(input.labels()) : value);

/** Nothing has come through a pipe before. */
const missing = Symbol('missing');
type Final = Seen | typeof missing;

function evalPipeline(run: Run, dot: Seen, pipe: Pipe): Seen {
  run.node = pipe;
  let value: Final = missing;
  for (const command of pipe.commands) value = evalCommand(run, dot, command, value) ?? undefined;
  const result = value === missing ? undefined : value;
  for (const name of pipe.variables)
    if (pipe.declares) run.variables.push([name, result]);
    else setVariable(run, name, result);
  return result;
}

function setVariable(run: Run, name: string, value: Seen): void {
  const variable = run.variables.findLast(([one]) => one === name);
  if (variable === undefined) throw failure(run, `undefined variable: ${name}`);
  variable[1] = value;
}

function evalCommand(run: Run, dot: Seen, command: Command, final: Final): Seen {
  const [first] = command.operands;
  if (first.kind === 'function') {
    run.node = first;
    return evalCall(run, dot, command, first.name, command.operands.slice(1), final);
  }
  const hasArguments = command.operands.length > 1 || final !== missing;
  if (first.kind === 'field' || first.kind === 'chain' || first.kind === 'variable')
    return evalPath(run, dot, first, command.operands.slice(1), final);
  if (first.kind !== 'pipe') run.node = first;
  if (hasArguments) throw failure(run, `can't give argument to non-function ${nodeText(first)}`);
  if (first.kind === 'nil') throw failure(run, 'nil is not a command');
  return evalOperand(run, dot, first);
}

/** A value where nothing is asked of its type. */
function evalOperand(run: Run, dot: Seen, operand: Operand): Seen {
  switch (operand.kind) {
    case 'dot':
      return dot;
    case 'nil':
      return null;
    case 'field':
    case 'chain':
    case 'variable':
      return evalPath(run, dot, operand, [], missing);
    case 'pipe':
      return evalPipeline(run, dot, operand);
    case 'function':
      run.node = operand;
      return evalCall(run, dot, operand, operand.name, [], missing);
    default:
      return operand.value;
  }
}

type Path = Operand & { readonly kind: 'field' | 'chain' | 'variable' };

function evalPath(run: Run, dot: Seen, operand: Path, args: readonly Operand[], final: Final): Seen {
  run.node = operand;
  const { path } = operand;
  let receiver: Seen = dot;
  if (operand.kind === 'variable') receiver = variableOf(run, operand.name);
  if (operand.kind === 'chain') {
    if (operand.of.kind === 'nil')
      throw failure(run, `indirection through explicit nil in ${nodeText(operand)}`);
    run.node = operand.of;
    receiver = evalOperand(run, dot, operand.of);
  }
  const hasArguments = args.length > 0 || final !== missing;
  if (path.length === 0 && hasArguments)
    throw failure(run, `can't give argument to non-function ${nodeText(operand)}`);
  for (const [index, name] of path.entries()) {
    const isLast = index === path.length - 1;
    // What is within a map of JSON has no type of its own.
    const type = index > 0 && typeof receiver !== 'string' ? 'interface {}' : undefined;
    receiver = isLast
      ? evalField(run, dot, receiver, name, type, args, final)
      : evalField(run, dot, receiver, name, type, [], missing);
  }
  return receiver;
}

function variableOf(run: Run, name: string): Seen {
  const variable = run.variables.findLast(([one]) => one === name);
  if (variable === undefined) throw failure(run, `undefined variable: ${name}`);
  return variable[1];
}

function evalField(
  run: Run,
  dot: Seen,
  receiver: Seen,
  name: string,
  type: string | undefined,
  args: readonly Operand[],
  final: Final,
): Seen {
  if (receiver === undefined) return undefined;
  if (receiver === null) throw failure(run, `nil pointer evaluating interface {}.${name}`);
  const method = Object.hasOwn(timeMethods, name) ? timeMethods[name] : undefined;
  if (receiver !== root && typeName(receiver) === 'time.Time' && method !== undefined) {
    const node = run.node;
    return called(run, node, name, method, [
      receiver,
      ...evalArguments(run, dot, name, method, args, final, 1),
    ]);
  }
  if (receiver === root || isMap(receiver)) {
    if (args.length > 0 || final !== missing) throw failure(run, `${name} is not a method but has arguments`);
    if (receiver === root) return run.input.label(name) ?? '';
    return receiver.has(name) ? receiver.get(name) : receiver instanceof Labels ? '' : null;
  }
  throw failure(run, `can't evaluate field ${name} in type ${type ?? typeName(receiver)}`);
}

/** `node` is what an error of the function itself is about. */
function evalCall(
  run: Run,
  dot: Seen,
  node: Run['node'],
  name: string,
  operands: readonly Operand[],
  final: Final,
): Seen {
  if (name === 'and' || name === 'or') return evalLogical(run, dot, name, operands, final);
  if (name === 'call' && operands[0] !== undefined) {
    const callee = unboxed(run, evalOperand(run, dot, operands[0]));
    run.node = node;
    const what = isNil(callee)
      ? 'call of nil'
      : `non-function ${nodeText(operands[0])} of type ${typeName(callee)}`;
    throw failure(run, `error calling call: ${what}`);
  }
  const found = functionOf(run, name);
  return called(run, node, name, found, evalArguments(run, dot, name, found, operands, final, 0));
}

function called(
  run: Run,
  node: Run['node'],
  name: string,
  body: TemplateFunction,
  args: readonly Value[],
): Value {
  try {
    return body.call(args);
  } catch (cause) {
    run.node = node;
    throw failure(run, `error calling ${name}: ${messageOf(cause)}`);
  }
}

function evalLogical(run: Run, dot: Seen, name: string, operands: readonly Operand[], final: Final): Seen {
  if (operands.length === 0 && final === missing)
    throw failure(run, `wrong number of args for ${name}: want at least 1 got 0`);
  let value: Seen;
  for (const operand of operands) {
    run.node = operand;
    value = evalOperand(run, dot, operand);
    if (isTrue(unboxed(run, value)) === (name === 'or')) return value;
  }
  return final === missing ? value : final;
}

/** Those in front are given already: of a method, what it is asked of. */
function evalArguments(
  run: Run,
  dot: Seen,
  name: string,
  { parameters, variadic }: TemplateFunction,
  operands: readonly Operand[],
  final: Final,
  given: number,
): readonly Value[] {
  const fixed = parameters.length - given;
  const count = operands.length + (final === missing ? 0 : 1);
  if (variadic === undefined ? count !== fixed : count < fixed) {
    const [want, got] = variadic === undefined ? [`${fixed}`, count] : [`at least ${fixed}`, operands.length];
    throw failure(run, `wrong number of args for ${name}: want ${want} got ${got}`);
  }
  const typeAt = (index: number): Parameter => parameters[index + given] ?? variadic ?? 'any';
  const args = operands.map((operand, index) => evalArgument(run, dot, typeAt(index), operand));
  if (final !== missing) args.push(validated(run, unboxed(run, final), typeAt(operands.length)));
  return args;
}

const typeNames = {
  string: 'string',
  int: 'int',
  float: 'float64',
  time: 'time.Time',
  any: 'interface {}',
} as const;

function evalArgument(run: Run, dot: Seen, type: Parameter, operand: Operand): Value {
  run.node = operand;
  if (operand.kind === 'nil') {
    if (type === 'any') return null;
    throw failure(run, `cannot assign nil to ${typeNames[type]}`);
  }
  const isLiteral = operand.kind === 'string' || operand.kind === 'number' || operand.kind === 'boolean';
  if (!isLiteral) return validated(run, unboxed(run, evalOperand(run, dot, operand)), type);
  const { value } = operand;
  switch (type) {
    case 'any':
      return value;
    case 'string':
      if (typeof value === 'string') return value;
      throw failure(run, `expected string; found ${operand.text}`);
    case 'int':
      if (typeof value === 'bigint') return value;
      if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
      throw failure(run, `expected integer; found ${operand.text}`);
    case 'float':
      if (operand.kind === 'number') return Number(value);
      throw failure(run, `expected float; found ${operand.text}`);
    case 'time':
      throw failure(run, `can't handle ${operand.text} for arg of type time.Time`);
  }
}

/** A value that is of the type which a function takes. */
function validated(run: Run, value: Value, type: Parameter): Value {
  if (type === 'any') return value ?? null;
  const wanted = typeNames[type];
  if (value === undefined) throw failure(run, `invalid value; expected ${wanted}`);
  if (typeName(value) !== wanted)
    throw failure(run, `wrong type for value; expected ${wanted}; got ${typeName(value)}`);
  return value;
}

function functionOf({ input }: Run, name: string): TemplateFunction {
  if (name === '__line__') return { parameters: [], call: () => input.line };
  if (name === '__timestamp__')
    return { parameters: [], call: () => ({ kind: 'time', ns: input.timestampNs, zone: 'UTC' }) };
  const found = functions[name] ?? builtins[name];
  if (found === undefined) throw new Error(`${JSON.stringify(name)} is not a defined function`);
  return found;
}
