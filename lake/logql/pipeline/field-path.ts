// The expressions that say where a label's value is: `request.headers["User-Agent"]`, `servers[0]`. Errors are those of
// Loki's parsers.

interface Token {
  readonly name: 'DOT' | 'LSB' | 'RSB' | 'STRING' | 'FIELD' | 'INDEX' | 'KEY' | '$end';
  readonly text: string;
}

interface Lexed {
  readonly tokens: readonly Token[];
  /** What the lexer has ended at; it counts where an expression may end there. */
  readonly problem: string | undefined;
}

const blank = /[ \t\n]*/y;
const word = /[a-zA-Z_][a-zA-Z0-9_]*/y;
/** Without escapes; a bracket ends a text too, and so does the end. */
const text = /"([^"\]]*)["\]]?/y;
const index = /[0-9]+/y;

/** `nameOf` names a word: the two languages call it otherwise, and only one has places in lists. */
function lex(expression: string, nameOf: 'FIELD' | 'KEY'): Lexed {
  const tokens: Token[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(expression);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  const ended = (problem?: string): Lexed => ({ tokens: [...tokens, { name: '$end', text: '' }], problem });
  for (;;) {
    match(blank);
    const char = String.fromCodePoint(expression.codePointAt(at) ?? 0);
    if (at >= expression.length) return ended();
    const symbol = nameOf === 'FIELD' ? ({ '[': 'LSB', ']': 'RSB', '.': 'DOT' } as const)[char] : undefined;
    const [found] = match(word) ?? [];
    const [, said] = match(text) ?? [];
    if (found !== undefined) tokens.push({ name: nameOf, text: found });
    else if (said !== undefined) tokens.push({ name: 'STRING', text: said });
    else if (symbol !== undefined) {
      tokens.push({ name: symbol, text: char });
      at++;
    } else if (nameOf === 'FIELD' && /[0-9]/.test(char)) {
      const [number = ''] = match(index) ?? [];
      const next = expression[at] ?? '\0';
      if (next === '.') return ended('cannot use float as array index');
      if (!/[ \t\n\]]/.test(next)) return ended(`non-integer value: ${next}`);
      tokens.push({ name: 'INDEX', text: number });
    } else return ended(`unexpected char ${char}`);
  }
}

/** The path of a JSON expression; empty for an empty one. */
export function parseJsonPath(expression: string): readonly (string | number)[] {
  const path: (string | number)[] = [];
  if (expression.trim() === '') return path;
  const { tokens, problem } = lex(expression, 'FIELD');
  let at = 0;
  const next = (...expected: readonly Token['name'][]): Token => {
    const found = tokens[at] ?? { name: '$end', text: '' };
    if (!expected.includes(found.name)) throw unexpected(found.name, expected);
    at++;
    return found;
  };
  const bracket = (): void => {
    const key = next('STRING', 'INDEX');
    path.push(key.name === 'INDEX' ? Number(key.text) : key.text);
    next('RSB');
  };
  const first = next('LSB', 'FIELD');
  if (first.name === 'LSB') bracket();
  else path.push(first.text);
  for (;;) {
    const found = tokens[at++];
    if (found === undefined || found.name === '$end') break;
    if (found.name === 'LSB') bracket();
    else if (found.name === 'DOT') path.push(next('FIELD').text);
    else throw unexpected(found.name, []);
  }
  if (problem !== undefined) throw new Error(problem);
  return path;
}

/** An expression may not be empty. */
export const emptyPath = (): Error => unexpected('$end', ['LSB', 'FIELD']);
export const emptyKey = (): Error => unexpected('$end', ['STRING', 'KEY']);

function unexpected(found: string, expected: readonly string[]): Error {
  const what = expected.length === 0 ? '' : `, expecting ${expected.join(' or ')}`;
  return new Error(`syntax error: unexpected ${found}${what}`);
}

/** The key of a logfmt expression; empty for an empty one. */
export function parseLogfmtKey(expression: string): string {
  if (expression.trim() === '') return '';
  const { tokens, problem } = lex(expression, 'KEY');
  const [first, ...rest] = tokens;
  if (first === undefined || first.name === '$end') throw emptyKey();
  const wrong = rest.find(({ name }) => name !== 'STRING' && name !== '$end');
  if (wrong !== undefined) throw unexpected(wrong.name, []);
  if (problem !== undefined) throw new Error(problem);
  return first.text;
}
