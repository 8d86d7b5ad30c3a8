// The lexer of Go's templates, token for token.

export interface Token {
  readonly kind:
    | 'text'
    | 'open'
    | 'close'
    | 'space'
    | 'word'
    | 'keyword'
    | 'boolean'
    | 'nil'
    | 'dot'
    | 'field'
    | 'variable'
    | 'string'
    | 'number'
    | 'char'
    | 'symbol'
    | 'error'
    | 'end';
  /** As it is written; of an error, what is wrong. */
  readonly text: string;
  readonly at: number;
  readonly line: number;
}

const keywords: ReadonlySet<string> = new Set(
  'block break continue define else end if range template with'.split(' '),
);
const symbols = ['(', ')', '|', ':=', '='];

interface State {
  readonly source: string;
  readonly tokens: Token[];
  at: number;
  /** Of what stands before `lineAt`. */
  line: number;
  lineAt: number;
}

/** All tokens; the last is the end, or an error. */
export function lex(source: string): readonly Token[] {
  const state: State = { source, tokens: [], at: 0, line: 1, lineAt: 0 };
  while (lexText(state) && lexAction(state));
  return state.tokens;
}

function emit(state: State, kind: Token['kind'], end: number): true {
  const text = state.source.slice(state.at, end);
  state.tokens.push({ kind, text, at: state.at, line: lineOf(state, state.at) });
  state.at = end;
  return true;
}

function fail(state: State, message: string, at = state.at): false {
  state.tokens.push({ kind: 'error', text: message, at, line: lineOf(state, at) });
  return false;
}

/** Positions are asked for in their order. */
function lineOf(state: State, at: number): number {
  for (; state.lineAt < at; state.lineAt++) if (state.source[state.lineAt] === '\n') state.line++;
  return state.line;
}

const blanks = /[ \t\r\n]*/y;
function blankEnd(source: string, at: number): number {
  blanks.lastIndex = at;
  blanks.exec(source);
  return blanks.lastIndex;
}

/** Text up to an action, with comments; true when an action has been opened. */
function lexText(state: State): boolean {
  const { source } = state;
  for (;;) {
    const open = source.indexOf('{{', state.at);
    const end = open < 0 ? source.length : open;
    const trims = open >= 0 && /^-[ \t\r\n]/.test(source.slice(open + 2, open + 4));
    const text = source.slice(state.at, end);
    const kept = trims ? text.replace(/[ \t\r\n]+$/, '') : text;
    if (kept !== '') emit(state, 'text', state.at + kept.length);
    state.at = end;
    if (open < 0) return emit(state, 'end', source.length) && false;
    const inside = open + 2 + (trims ? 2 : 0);
    if (!source.startsWith('/*', inside)) {
      emit(state, 'open', open + 2);
      state.at = inside;
      return true;
    }
    const over = source.indexOf('*/', inside + 2);
    if (over < 0) return fail(state, 'unclosed comment', inside);
    const close = closeAt(source, over + 2);
    if (close === undefined) return fail(state, 'comment ends before closing delimiter', inside);
    state.at = close.next;
  }
}

/** A closing delimiter: where text goes on behind it. */
function closeAt(source: string, at: number): { start: number; next: number } | undefined {
  if (source.startsWith('}}', at)) return { start: at, next: at + 2 };
  if (!/^[ \t\r\n]-\}\}/.test(source.slice(at, at + 4))) return undefined;
  return { start: at + 2, next: blankEnd(source, at + 4) };
}

/** The tokens of an action; true when it has been closed. */
function lexAction(state: State): boolean {
  const { source } = state;
  let depth = 0;
  for (;;) {
    const close = closeAt(source, state.at);
    if (close !== undefined) {
      if (depth > 0) return fail(state, 'unclosed left paren');
      state.at = close.start;
      emit(state, 'close', close.start + 2);
      state.at = close.next;
      return true;
    }
    const char = source[state.at];
    if (char === undefined) return fail(state, 'unclosed action');
    if (char === '(') depth++;
    if (char === ')' && --depth < 0) return fail(state, 'unexpected right paren');
    if (!lexToken(state, char)) return false;
  }
}

function lexToken(state: State, char: string): boolean {
  const { source, at } = state;
  if (/[ \t\r\n]/.test(char)) return lexSpace(state);
  const symbol = symbols.find((text) => source.startsWith(text, at));
  if (symbol !== undefined) return emit(state, 'symbol', at + symbol.length);
  if (char === ':') return fail(state, 'expected :=');
  if (char === '"') return lexQuoted(state, '"', 'string', 'unterminated quoted string');
  if (char === "'") return lexQuoted(state, "'", 'char', 'unterminated character constant');
  if (char === '`') {
    const end = source.indexOf('`', at + 1);
    return end < 0 ? fail(state, 'unterminated raw quoted string') : emit(state, 'string', end + 1);
  }
  if (char === '$') return lexName(state, 'variable', 1);
  if (char === '.' && !/[0-9]/.test(source[at + 1] ?? '')) return lexName(state, 'field', 1);
  if (/[-+.0-9]/.test(char)) return lexNumber(state);
  if (nameEnd(source, at) > at) return lexName(state, 'word', 0);
  if (/[!-~]/.test(char)) return emit(state, 'symbol', at + 1);
  return fail(state, `unrecognized character in action: ${characterText(source, at)}`);
}

/** A blank in front of `-}}` belongs to the delimiter. */
function lexSpace(state: State): boolean {
  const end = blankEnd(state.source, state.at);
  const trims = state.source.startsWith('-}}', end);
  return emit(state, 'space', trims ? end - 1 : end);
}

const name = /[\p{L}\p{Nd}_]*/uy;
function nameEnd(source: string, at: number): number {
  name.lastIndex = at;
  name.exec(source);
  return name.lastIndex;
}

/** A word, `.field`, `$variable`, or a dot or dollar alone. */
function lexName(state: State, kind: 'word' | 'field' | 'variable', prefix: number): boolean {
  const { source, at } = state;
  const end = nameEnd(source, at + prefix);
  if (!/^(?:[ \t\r\n.,|:)(]|$)/.test(source.slice(end, end + 1)) && !source.startsWith('}}', end))
    return fail(state, `bad character ${characterText(source, end)}`);
  const text = source.slice(at, end);
  if (text === '.') return emit(state, 'dot', end);
  if (kind !== 'word') return emit(state, kind, end);
  if (text === 'nil') return emit(state, 'nil', end);
  if (text === 'true' || text === 'false') return emit(state, 'boolean', end);
  return emit(state, keywords.has(text) ? 'keyword' : 'word', end);
}

const number =
  /[-+]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*(?:[pP][-+]?[0-9_]*)?|0[oO][0-7_]*\.?[0-7_]*|0[bB][01_]*\.?[01_]*|[0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9_]*)?)/y;

function lexNumber(state: State): boolean {
  number.lastIndex = state.at;
  number.exec(state.source);
  const end = number.lastIndex;
  const next =
    nameEnd(state.source, end) > end ? String.fromCodePoint(state.source.codePointAt(end) ?? 0) : '';
  if (next !== '')
    return fail(state, `bad number syntax: ${JSON.stringify(state.source.slice(state.at, end) + next)}`);
  return emit(state, 'number', end);
}

function lexQuoted(state: State, quote: string, kind: 'string' | 'char', error: string): boolean {
  const { source } = state;
  for (let end = state.at + 1; end < source.length && source[end] !== '\n'; end++) {
    if (source[end] === quote) return emit(state, kind, end + 1);
    if (source[end] === '\\' && source[++end] === '\n') break;
  }
  return fail(state, error);
}

/** Go's %#U. */
function characterText(source: string, at: number): string {
  const code = source.codePointAt(at);
  if (code === undefined) return 'U+FFFFFFFFFFFFFFFF';
  const hex = code.toString(16).toUpperCase().padStart(4, '0');
  const char = String.fromCodePoint(code);
  return /[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(char) ? `U+${hex} '${char}'` : `U+${hex}`;
}
