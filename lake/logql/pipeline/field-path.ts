// The expressions that say where a label's value is: `request.headers["User-Agent"]`, `servers[0]`. Errors are those of
// Loki's parser.

interface Token {
  readonly name: 'DOT' | 'LSB' | 'RSB' | 'STRING' | 'FIELD' | 'INDEX' | '$end';
  readonly text: string;
}

const token =
  /\s*(?:(?<DOT>\.)|(?<LSB>\[)|(?<RSB>\])|"(?<STRING>(?:[^"\\]|\\.)*)"?|(?<FIELD>[a-zA-Z_][\w-]*)|(?<INDEX>[0-9]+)|(?<other>\S))/gsuy;

function lex(expression: string): readonly Token[] {
  const tokens: Token[] = [];
  for (const { groups = {} } of expression.trimEnd().matchAll(token)) {
    if (groups.other !== undefined) throw new Error(`unexpected char ${groups.other}`);
    const [name, text = ''] = Object.entries(groups).find(([, value]) => value !== undefined) ?? ['$end'];
    tokens.push({
      name: name as Token['name'],
      text: name === 'STRING' ? text.replace(/\\(.)/gs, '$1') : text,
    });
  }
  return [...tokens, { name: '$end', text: '' }];
}

/** The path of a JSON expression; empty for an empty one. */
export function parseJsonPath(expression: string): readonly (string | number)[] {
  const tokens = lex(expression);
  let at = 0;
  const next = (...expected: readonly Token['name'][]): Token => {
    const found = tokens[at] ?? { name: '$end', text: '' };
    if (!expected.includes(found.name)) throw unexpected(found, expected);
    at++;
    return found;
  };
  const path: (string | number)[] = [];
  const bracket = (): void => {
    next('LSB');
    const key = next('STRING', 'INDEX');
    path.push(key.name === 'INDEX' ? Number(key.text) : key.text);
    next('RSB');
  };
  if (tokens[0]?.name === '$end') return path;
  if (tokens[0]?.name === 'LSB') bracket();
  else if (tokens[0]?.name === 'FIELD') path.push(next('FIELD').text);
  else throw unexpected(tokens[0], []);
  for (;;) {
    const found = tokens[at];
    if (found === undefined || found.name === '$end') return path;
    if (found.name === 'LSB') bracket();
    else if (found.name === 'DOT') {
      at++;
      path.push(next('FIELD').text);
    } else throw unexpected(found, []);
  }
}

function unexpected(found: Token | undefined, expected: readonly string[]): Error {
  const what = expected.length === 0 ? '' : `, expecting ${expected.join(' or ')}`;
  return new Error(`syntax error: unexpected ${found?.name ?? '$end'}${what}`);
}

/** The key of a logfmt expression; empty for an empty one. */
export function parseLogfmtKey(expression: string): string {
  const text = expression.trim();
  if (text === '') return '';
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(text);
  if (quoted !== null) return (quoted[1] ?? '').replace(/\\(.)/gs, '$1');
  if (/^[a-zA-Z_][\w.-]*$/.test(text)) return text;
  const odd = /[^\w.\s-]/u.exec(text)?.[0];
  throw new Error(odd === undefined ? 'syntax error: unexpected KEY' : `unexpected char ${odd}`);
}
