import { quoted, unquote } from '../units.ts';
import type { Command, Node, Nodes, Operand, Pipe } from './ast.ts';

// Lexer and parser of templates. Errors are Error with the text of Go's, `template: NAME:LINE: ...`.

interface Token {
  readonly kind:
    | 'text'
    | 'open'
    | 'close'
    | 'word'
    | 'field'
    | 'variable'
    | 'string'
    | 'number'
    | 'char'
    | 'symbol'
    | 'end';
  readonly text: string;
  readonly at: number;
  /** A blank stands before it, which ends what belongs together. */
  readonly spaced: boolean;
}

interface State {
  readonly name: string;
  readonly source: string;
  readonly tokens: readonly Token[];
  readonly functions: ReadonlySet<string>;
  at: number;
  loops: number;
}

/** The nodes of a template named `line` or `label`; `functions` are the names that may be called. */
export function parseTemplate(name: string, source: string, functions: ReadonlySet<string>): Nodes {
  const state: State = { name, source, tokens: lex(name, source), functions, at: 0, loops: 0 };
  const nodes = block(state, []);
  if (peek(state).kind !== 'end') throw failure(state, `unexpected {{${peek(state, 1).text}}}`);
  return nodes;
}

const failure = (
  { name, source, tokens, at }: Pick<State, 'name' | 'source' | 'tokens' | 'at'>,
  message: string,
): Error => new Error(`template: ${name}:${lineOf(source, tokens[at]?.at ?? source.length)}: ${message}`);
const lineOf = (source: string, at: number): number => source.slice(0, at).split('\n').length;

const action = new RegExp(
  [
    /(?<blank>\s+)/,
    /(?<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)/,
    /(?<char>'(?:[^'\\\n]|\\.)+')/,
    /(?<number>[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?))/,
    /(?<field>\.[\p{L}_][\p{L}\p{N}_]*)/u,
    /(?<variable>\$[\p{L}\p{N}_]*)/u,
    /(?<word>[\p{L}_][\p{L}\p{N}_]*)/u,
    /(?<symbol>:=|[|().,=])/,
  ]
    .map((part) => part.source)
    .join('|'),
  'uy',
);

function lex(name: string, source: string): readonly Token[] {
  const tokens: Token[] = [];
  const push = (kind: Token['kind'], text: string, at: number, spaced = false): void => {
    tokens.push({ kind, text, at, spaced });
  };
  const fail = (message: string, at: number): Error =>
    new Error(`template: ${name}:${lineOf(source, at)}: ${message}`);
  let at = 0;
  let trim = false;
  while (at < source.length) {
    const open = source.indexOf('{{', at);
    const left = open >= 0 && /^\{\{-\s/.test(source.slice(open, open + 4));
    let text = source.slice(at, open < 0 ? source.length : open);
    if (trim) text = text.trimStart();
    if (left) text = text.trimEnd();
    if (text !== '') push('text', text, at);
    if (open < 0) break;
    at = open + (left ? 3 : 2);
    const comment = /^\s*\/\*[\s\S]*?\*\/\s*(-?)\}\}/.exec(source.slice(at));
    if (comment !== null) {
      trim = comment[1] === '-';
      at += comment[0].length;
      continue;
    }
    push('open', '{{', open);
    let spaced = false;
    for (;;) {
      const close =
        /^(?:\s-)?\}\}/.exec(source.slice(at, at + 4))?.[0] ??
        (/^\s+-?\}\}/.exec(source.slice(at)) ?? [''])[0];
      if (close !== '') {
        trim = close.endsWith('-}}');
        push('close', '}}', at);
        at += close.length;
        break;
      }
      action.lastIndex = at;
      const found = action.exec(source);
      if (found === null) {
        if (at >= source.length) throw fail('unclosed action', at);
        if (source[at] === '"') throw fail('unterminated quoted string', at);
        if (source[at] === '`') throw fail('unterminated raw quoted string', at);
        throw fail(`unexpected ${quoted(source[at] ?? '')} in operand`, at);
      }
      const [kind = 'blank'] =
        Object.entries(found.groups ?? {}).find(([, value]) => value !== undefined) ?? [];
      if (kind !== 'blank') push(kind as Token['kind'], found[0], at, spaced);
      spaced = kind === 'blank';
      at += found[0].length;
    }
  }
  push('end', '', source.length);
  return tokens;
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

const keywords = new Set([
  'if',
  'else',
  'end',
  'range',
  'with',
  'break',
  'continue',
  'define',
  'block',
  'template',
]);
const atWord = (state: State, ...words: readonly string[]): boolean =>
  peek(state).kind === 'open' && peek(state, 1).kind === 'word' && words.includes(peek(state, 1).text);

/** Nodes up to one of the words in `ends`, which is left where it is. */
function block(state: State, ends: readonly string[]): Nodes {
  const nodes: Node[] = [];
  for (;;) {
    const token = peek(state);
    if (token.kind === 'end') {
      if (ends.length > 0) throw failure(state, 'unexpected EOF');
      return nodes;
    }
    if (token.kind === 'text') nodes.push({ kind: 'text', text: next(state).text });
    else if (atWord(state, 'else', 'end')) {
      if (!ends.includes(peek(state, 1).text)) throw failure(state, `unexpected {{${peek(state, 1).text}}}`);
      return nodes;
    } else nodes.push(node(state));
  }
}

function node(state: State): Node {
  next(state);
  const word = peek(state);
  if (word.kind === 'word' && keywords.has(word.text)) {
    next(state);
    switch (word.text) {
      case 'if':
      case 'with':
      case 'range':
        return branch(state, word.text);
      case 'break':
      case 'continue':
        if (state.loops === 0) throw failure(state, `{{${word.text}}} outside {{range}}`);
        close(state, word.text);
        return { kind: word.text };
      default:
        throw failure(state, `{{${word.text}}} is not supported`);
    }
  }
  const parsed = pipe(state);
  close(state, 'command');
  return { kind: 'action', pipe: parsed };
}

function close(state: State, context: string): void {
  if (peek(state).kind !== 'close')
    throw failure(state, `unexpected ${quoted(peek(state).text)} in ${context}`);
  next(state);
}

function branch(state: State, kind: 'if' | 'with' | 'range'): Node {
  const condition = pipe(state);
  close(state, kind);
  if (kind === 'range') state.loops++;
  const then = block(state, ['else', 'end']);
  if (kind === 'range') state.loops--;
  let otherwise: Nodes = [];
  if (atWord(state, 'else')) {
    state.at += 2;
    const again = peek(state);
    if (kind !== 'range' && again.kind === 'word' && again.text === kind) {
      next(state);
      return { kind, pipe: condition, then, otherwise: [branch(state, kind)] };
    }
    close(state, 'else');
    otherwise = block(state, ['end']);
  }
  state.at += 2;
  close(state, 'end');
  return { kind, pipe: condition, then, otherwise };
}

function pipe(state: State): Pipe {
  const variables: string[] = [];
  let declares = false;
  const second = peek(state, 1);
  if (
    peek(state).kind === 'variable' &&
    (second.text === ':=' || second.text === '=' || second.text === ',')
  ) {
    variables.push(next(state).text);
    if (peek(state).text === ',') {
      next(state);
      variables.push(next(state).text);
    }
    declares = next(state).text === ':=';
  }
  const commands = [command(state)];
  while (peek(state).text === '|' && peek(state).kind === 'symbol') {
    next(state);
    commands.push(command(state));
  }
  return { variables, declares, commands };
}

function command(state: State): Command {
  const operands: Operand[] = [];
  for (;;) {
    const { kind, text } = peek(state);
    if (kind === 'close' || kind === 'end' || (kind === 'symbol' && (text === '|' || text === ')'))) break;
    operands.push(operand(state));
  }
  if (operands.length === 0) throw failure(state, 'missing value for command');
  return operands;
}

function operand(state: State): Operand {
  const token = next(state);
  switch (token.kind) {
    case 'string':
      return { kind: 'literal', value: unquote(token.text) };
    case 'char':
      return { kind: 'literal', value: BigInt(unquote(`"${token.text.slice(1, -1)}"`).codePointAt(0) ?? 0) };
    case 'number':
      return { kind: 'literal', value: numberOf(token.text) };
    case 'field':
      return { kind: 'field', path: [token.text.slice(1), ...path(state)], at: token.at };
    case 'variable':
      return { kind: 'variable', name: token.text, path: path(state) };
    case 'word':
      return word(state, token);
    default:
  }
  if (token.text === '.') return { kind: 'field', path: [], at: token.at };
  if (token.text !== '(')
    throw failure({ ...state, at: state.at - 1 }, `unexpected ${quoted(token.text)} in operand`);
  const inner = pipe(state);
  if (next(state).text !== ')') throw failure(state, 'unclosed left paren');
  return { kind: 'pipe', pipe: inner, path: path(state) };
}

function word(state: State, { text, at }: Token): Operand {
  if (text === 'true' || text === 'false') return { kind: 'literal', value: text === 'true' };
  if (text === 'nil') return { kind: 'literal', value: null };
  if (!state.functions.has(text))
    throw failure({ ...state, at: state.at - 1 }, `function ${quoted(text)} not defined`);
  return { kind: 'call', name: text, at };
}

function path(state: State): string[] {
  const names: string[] = [];
  while (peek(state).kind === 'field' && !peek(state).spaced) names.push(next(state).text.slice(1));
  return names;
}

function numberOf(text: string): number | bigint {
  const plain = text.replaceAll('_', '');
  if (/^[-+]?(?:[0-9]+|0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+)$/.test(plain)) {
    const size = BigInt(plain.replace(/^[-+]/, ''));
    return plain.startsWith('-') ? -size : size;
  }
  return Number(plain);
}
