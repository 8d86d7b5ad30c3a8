import { messageOf } from '../../base/errors.ts';
import { nestingMax } from '../limits.ts';
import { parseGoFloat, quoted, unquote } from '../units.ts';
import type { Branch, Command, Literal, Node, Nodes, Operand, Pipe, Templates } from './ast.ts';
import { nodeText } from './ast.ts';
import { lex, type Token } from './lex.ts';

// The parser of Go's templates. Errors are Error with Go's text, `template: NAME:LINE: ...`.

interface State {
  readonly name: string;
  readonly tokens: readonly Token[];
  readonly functions: ReadonlySet<string>;
  readonly defined: Map<string, Nodes>;
  at: number;
  /** Variables that may be used here. */
  variables: string[];
  /** Ranges around this place. */
  loops: number;
  depth: number;
  /** Of the action that is being read; 0 outside. */
  actionLine: number;
}

/** The templates of a source named `line` or `label`; `functions` are the names that may be called. */
export function parseTemplate(name: string, source: string, functions: ReadonlySet<string>): Templates {
  const state: State = {
    ...{ name, functions, tokens: lex(source), defined: new Map() },
    ...{ at: 0, variables: ['$'], loops: 0, depth: 0, actionLine: 0 },
  };
  const main: Node[] = [];
  while (peek(state).kind !== 'end') {
    const word = peek(state, 1).kind === 'space' ? peek(state, 2) : peek(state, 1);
    if (peek(state).kind === 'open' && word.kind === 'keyword' && word.text === 'define') {
      next(state);
      nextNonSpace(state);
      definition(state);
      continue;
    }
    const node = textOrAction(state);
    if (isEnd(node)) throw failure(state, `unexpected {{${node.kind}}}`);
    main.push(node);
  }
  add(state, name, main);
  return { name, source, main: state.defined.get(name) ?? [], defined: state.defined };
}

function failure({ name, tokens, at }: State, message: string): Error {
  // Of the last token that has been looked at.
  const { line = 1 } = tokens[Math.min(at, tokens.length) - 1] ?? tokens[0] ?? {};
  return new Error(`template: ${name}:${line}: ${message}`);
}

/** `token` has been read, and does not belong there. */
function unexpected(state: State, token: Token, context: string): Error {
  if (token.kind !== 'error') return failure(state, `unexpected ${tokenText(token)} in ${context}`);
  if (state.actionLine === 0 || state.actionLine === token.line) return failure(state, token.text);
  const started = `started at ${state.name}:${state.actionLine}`;
  return failure(state, `${token.text}${token.text.endsWith(' action') ? '' : ' in action'} ${started}`);
}

function tokenText({ kind, text }: Token): string {
  if (kind === 'end') return 'EOF';
  if (kind === 'keyword' || kind === 'dot' || kind === 'nil') return `<${text}>`;
  const chars = [...text];
  return chars.length > 10 ? `${quoted(chars.slice(0, 10).join(''))}...` : quoted(text);
}

function peek(state: State, ahead = 0): Token {
  const token = state.tokens[Math.min(state.at + ahead, state.tokens.length - 1)];
  if (token === undefined) throw new Error('a template has no end');
  return token;
}

function next(state: State): Token {
  const token = peek(state);
  state.at++;
  return token;
}

function skipSpace(state: State): void {
  while (peek(state).kind === 'space') state.at++;
}

function nextNonSpace(state: State): Token {
  skipSpace(state);
  return next(state);
}

function peekNonSpace(state: State): Token {
  skipSpace(state);
  return peek(state);
}

function expect(state: State, kind: Token['kind'], context: string): Token {
  const token = nextNonSpace(state);
  if (token.kind !== kind) throw unexpected(state, token, context);
  return token;
}

function add(state: State, name: string, nodes: Nodes): void {
  const known = state.defined.get(name);
  if (known === undefined || isEmpty(known)) state.defined.set(name, nodes);
  else if (!isEmpty(nodes)) throw failure(state, `template: multiple definition of template ${quoted(name)}`);
}

const isEmpty = (nodes: Nodes): boolean =>
  nodes.every((node) => node.kind === 'text' && node.text.trim() === '');

/** Another template in the same source, which sees no variables of this one. */
function separate<T>(state: State, parse: () => T): T {
  const { variables, loops } = state;
  state.variables = ['$'];
  state.loops = 0;
  const result = parse();
  state.variables = variables;
  state.loops = loops;
  return result;
}

function definition(state: State): void {
  const context = 'define clause';
  const name = textOf(state, expect(state, 'string', context));
  expect(state, 'close', context);
  add(state, name, body(state, context));
}

/** The nodes of another template up to its end. */
function body(state: State, context: string): Nodes {
  const { nodes, end } = separate(state, () => list(state));
  if (end !== 'end') throw failure(state, `unexpected {{${end}}} in ${context}`);
  return nodes;
}

function textOf(state: State, { text }: Token): string {
  try {
    return unquote(text);
  } catch (cause) {
    throw failure(state, messageOf(cause));
  }
}

interface End {
  readonly kind: 'end' | 'else';
}
type NodeOrEnd = Node | End;
const isEnd = (node: NodeOrEnd): node is End => node.kind === 'end' || node.kind === 'else';

function list(state: State): { readonly nodes: Nodes; readonly end: 'end' | 'else' } {
  const nodes: Node[] = [];
  if (++state.depth > nestingMax) throw failure(state, `more than ${nestingMax} levels (nestingMax)`);
  while (peekNonSpace(state).kind !== 'end') {
    const node = textOrAction(state);
    if (isEnd(node)) {
      state.depth--;
      return { nodes, end: node.kind };
    }
    nodes.push(node);
  }
  next(state);
  throw failure(state, 'unexpected EOF');
}

function textOrAction(state: State): NodeOrEnd {
  const token = nextNonSpace(state);
  if (token.kind === 'text') return { kind: 'text', text: token.text };
  if (token.kind !== 'open') throw unexpected(state, token, 'input');
  state.actionLine = token.line;
  const node = action(state);
  state.actionLine = 0;
  return node;
}

function action(state: State): NodeOrEnd {
  const token = peekNonSpace(state);
  if (token.kind !== 'keyword' || token.text === 'define')
    return { kind: 'action', at: token.at, pipe: pipeline(state, 'command', 'close') };
  next(state);
  switch (token.text) {
    case 'if':
    case 'with':
    case 'range':
      return branch(state, token.text, token.at);
    case 'end':
      expect(state, 'close', 'end');
      return { kind: 'end' };
    case 'else': {
      const { kind, text } = peekNonSpace(state);
      // `{{else if …}}` is read as `{{else}}{{if …}}`.
      if (kind !== 'keyword' || (text !== 'if' && text !== 'with')) expect(state, 'close', 'else');
      return { kind: 'else' };
    }
    case 'block': {
      const name = templateName(state, 'block clause');
      const pipe = pipeline(state, 'block clause', 'close');
      add(state, name.text, body(state, 'block clause'));
      return { kind: 'template', at: name.at, name: name.text, pipe };
    }
    case 'template': {
      const name = templateName(state, 'template clause');
      const isAlone = peekNonSpace(state).kind === 'close';
      const pipe = isAlone ? undefined : pipeline(state, 'template clause', 'close');
      if (isAlone) next(state);
      return { kind: 'template', at: name.at, name: name.text, pipe };
    }
    default: {
      const kind = token.text as 'break' | 'continue';
      expect(state, 'close', `{{${kind}}}`);
      if (state.loops === 0) throw failure(state, `{{${kind}}} outside {{range}}`);
      return { kind };
    }
  }
}

function templateName(state: State, context: string): { readonly text: string; readonly at: number } {
  const token = expect(state, 'string', context);
  return { text: textOf(state, token), at: token.at };
}

function branch(state: State, kind: Branch['kind'], at: number): Node {
  const known = state.variables.length;
  const pipe = pipeline(state, kind, 'close');
  if (kind === 'range') state.loops++;
  const { nodes: then, end } = list(state);
  if (kind === 'range') state.loops--;
  const otherwise = end === 'else' ? elseOf(state, kind) : [];
  state.variables.length = known;
  return { kind, at, pipe, then, otherwise };
}

function elseOf(state: State, kind: Branch['kind']): Nodes {
  const again = peek(state);
  if (kind !== 'range' && again.kind === 'keyword' && again.text === kind) {
    next(state);
    return [branch(state, kind, again.at)];
  }
  const { nodes, end } = list(state);
  if (end !== 'end') throw failure(state, `expected end; found {{${end}}}`);
  return nodes;
}

const starts: ReadonlySet<Token['kind']> = new Set([
  ...(['boolean', 'char', 'dot', 'field', 'word', 'number', 'nil', 'string', 'variable'] as const),
]);
const isSymbol = (token: Token, text: string): boolean => token.kind === 'symbol' && token.text === text;

function pipeline(state: State, context: string, end: 'close' | ')'): Pipe {
  const { at } = peekNonSpace(state);
  const { variables, declares } = declarations(state, context);
  const commands: Command[] = [];
  for (;;) {
    const token = peekNonSpace(state);
    if (end === 'close' ? token.kind === 'close' : isSymbol(token, end)) {
      next(state);
      if (commands.length === 0) throw failure(state, `missing value for ${context}`);
      const wrong = commands.findIndex(({ operands: [first] }, index) => index > 0 && isValue(first));
      if (wrong > 0) throw failure(state, `non executable command in pipeline stage ${wrong + 1}`);
      return { kind: 'pipe', at, variables, declares, commands };
    }
    if (starts.has(token.kind) || isSymbol(token, '(')) commands.push(command(state));
    else throw unexpected(state, next(state), context);
  }
}

const isValue = ({ kind }: Operand): boolean => ['boolean', 'dot', 'nil', 'number', 'string'].includes(kind);

function declarations(state: State, context: string): Pick<Pipe, 'variables' | 'declares'> {
  const variables: string[] = [];
  for (;;) {
    const start = state.at;
    if (peekNonSpace(state).kind !== 'variable') return { variables, declares: true };
    const variable = next(state).text;
    const follows = peekNonSpace(state);
    const isSet = isSymbol(follows, ':=') || isSymbol(follows, '=');
    if (!isSet && !isSymbol(follows, ',')) {
      state.at = start;
      return { variables, declares: true };
    }
    next(state);
    variables.push(variable);
    state.variables.push(variable);
    if (isSet) return { variables, declares: follows.text === ':=' };
    if (context !== 'range' || variables.length > 1)
      throw failure(state, `too many declarations in ${context}`);
    const second = peekNonSpace(state);
    if (second.kind !== 'variable' && second.kind !== 'close' && !isSymbol(second, ')'))
      throw failure({ ...state, at: state.at + 1 }, 'range can only initialize variables');
  }
}

function command(state: State): Command {
  const { at } = peekNonSpace(state);
  const operands: Operand[] = [];
  for (;;) {
    skipSpace(state);
    const found = operand(state);
    if (found !== undefined) operands.push(found);
    const token = next(state);
    if (token.kind === 'space') continue;
    if (token.kind === 'close' || isSymbol(token, ')')) state.at--;
    else if (!isSymbol(token, '|')) throw unexpected(state, token, 'operand');
    break;
  }
  const [first, ...rest] = operands;
  if (first === undefined) throw failure(state, 'empty command');
  return { kind: 'command', at, operands: [first, ...rest] };
}

function operand(state: State): Operand | undefined {
  const found = term(state);
  if (found === undefined || peek(state).kind !== 'field') return found;
  const { at } = peek(state);
  const path: string[] = [];
  while (peek(state).kind === 'field') path.push(next(state).text.slice(1));
  if (found.kind === 'field') return { kind: 'field', at, path: [...found.path, ...path] };
  if (found.kind === 'variable') return { ...found, at, path };
  if (isValue(found)) throw failure(state, `unexpected . after term ${quoted(nodeText(found))}`);
  return { kind: 'chain', at, of: found, path };
}

function term(state: State): Operand | undefined {
  const token = nextNonSpace(state);
  const { kind, text, at } = token;
  switch (kind) {
    case 'word':
      if (!state.functions.has(text)) throw failure(state, `function ${quoted(text)} not defined`);
      return { kind: 'function', at, name: text };
    case 'dot':
    case 'nil':
      return { kind, at };
    case 'variable':
      if (!state.variables.includes(text)) throw failure(state, `undefined variable ${quoted(text)}`);
      return { kind, at, name: text, path: [] };
    case 'field':
      return { kind, at, path: [text.slice(1)] };
    case 'boolean':
      return { kind, at, text, value: text === 'true' };
    case 'string':
      return { kind, at, text, value: textOf(state, token) };
    case 'number':
    case 'char':
      return numberLiteral(state, token);
    default:
  }
  if (isSymbol(token, '(')) {
    if (++state.depth > nestingMax) throw failure(state, 'max expression depth exceeded');
    const inner = pipeline(state, 'parenthesized pipeline', ')');
    state.depth--;
    return inner;
  }
  state.at--;
  return undefined;
}

function numberLiteral(state: State, { kind, text, at }: Token): Literal {
  const value = kind === 'char' ? characterOf(text) : numberOf(text);
  if (value !== undefined) return { kind: 'number', at, text, value };
  if (kind === 'char') throw failure(state, `malformed character constant: ${text}`);
  const plain = !/[.eEpP]/.test(text) && /^[-+]?[0-9]+$/.test(text);
  throw failure(
    state,
    plain ? `integer overflow: ${quoted(text)}` : `illegal number syntax: ${quoted(text)}`,
  );
}

function characterOf(text: string): bigint | undefined {
  try {
    // A single quote needs its backslash here, a double one none.
    const inner = text.slice(1, -1).replace(/^"$/, '\\"').replace(/^\\'$/, "'");
    const [char, ...more] = [...unquote(`"${inner}"`)];
    return char === undefined || more.length > 0 ? undefined : BigInt(char.codePointAt(0) ?? 0);
  } catch {
    return undefined;
  }
}

const integer = /^[-+]?(?:0|[1-9](?:_?[0-9])*|0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])+)$/;

function numberOf(text: string): number | bigint | undefined {
  if (integer.test(text)) {
    const digits = text.replace(/^[-+]/, '').replaceAll('_', '');
    const size = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits.toLowerCase());
    const value = text.startsWith('-') ? -size : size;
    return BigInt.asIntN(64, value) === value ? value : undefined;
  }
  if (!/[.eEpP]/.test(text)) return undefined;
  try {
    return parseGoFloat(text);
  } catch {
    return undefined;
  }
}
