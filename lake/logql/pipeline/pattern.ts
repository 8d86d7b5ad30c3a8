// Patterns such as `<ip> - <_> "<method> <path>"`, of the pattern parser and of the line filters |> and !>.

export type PatternPart =
  | { readonly kind: 'literal'; readonly text: string }
  /** Named '_' when nobody wants it. */
  | { readonly kind: 'capture'; readonly name: string };

const capture = /<([a-zA-Z_][a-zA-Z0-9_]*)>/g;

function parts(pattern: string): readonly PatternPart[] {
  const found: PatternPart[] = [];
  let at = 0;
  for (const match of pattern.matchAll(capture)) {
    if (match.index > at) found.push({ kind: 'literal', text: pattern.slice(at, match.index) });
    found.push({ kind: 'capture', name: match[1] ?? '' });
    at = match.index + match[0].length;
  }
  if (at < pattern.length) found.push({ kind: 'literal', text: pattern.slice(at) });
  return found;
}

/** Loki cannot tell where one of two neighbours would end. */
function checkNeighbours(found: readonly PatternPart[]): void {
  found.forEach((part, index) => {
    const other = found[index + 1];
    if (part.kind === 'capture' && other?.kind === 'capture')
      throw new Error(`found consecutive capture '<${part.name}><${other.name}>': invalid expression`);
  });
}

/** A pattern that extracts; throws an Error in Loki's words. */
export function parsePattern(pattern: string): readonly PatternPart[] {
  const found = parts(pattern);
  const names = found.flatMap((part) => (part.kind === 'capture' && part.name !== '_' ? [part.name] : []));
  if (pattern === '')
    throw new Error(
      'parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL',
    );
  if (names.length === 0) throw new Error('at least one capture is required');
  checkNeighbours(found);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`duplicate capture name (${twice}): invalid expression`);
  return found;
}

/** A pattern that filters lines; it has no names. */
export function parseLinePattern(pattern: string): readonly PatternPart[] {
  const found = parts(pattern);
  checkNeighbours(found);
  const named = found.find((part) => part.kind === 'capture' && part.name !== '_');
  if (named?.kind === 'capture') throw new Error(`named captures are not allowed: found '<${named.name}>'`);
  return found;
}

/** What the pattern's captures hold. Those behind a literal that is not found hold nothing; the last before it the rest. */
export function* captures(
  pattern: readonly PatternPart[],
  line: string,
): Generator<[name: string, value: string]> {
  if (line === '') return;
  let [at, index] = [0, 0];
  const [first] = pattern;
  if (first?.kind === 'literal') {
    if (!line.startsWith(first.text)) return;
    at = first.text.length;
    index = 1;
  }
  for (; index < pattern.length; index += 2) {
    const part = pattern[index];
    const literal = pattern[index + 1];
    if (part?.kind !== 'capture') return;
    const end = literal?.kind === 'literal' ? line.indexOf(literal.text, at) : -1;
    if (part.name !== '_') yield [part.name, line.slice(at, end < 0 ? line.length : end)];
    if (end < 0 || literal?.kind !== 'literal') return;
    at = end + literal.text.length;
  }
}

/**
 * Whether the line is as the pattern says: a capture holds at least one character, and what the pattern begins with may
 * stand behind something else.
 */
export function matchesLine(pattern: readonly PatternPart[], line: string): boolean {
  if (line === '' || pattern.length === 0) return line === '' && pattern.length === 0;
  let at = 0;
  for (const [index, part] of pattern.entries()) {
    if (part.kind === 'capture') continue;
    const found = line.indexOf(part.text, at);
    if (found < 0 || (index > 0 && found === at)) return false;
    at = found + part.text.length;
  }
  return (pattern.at(-1)?.kind === 'capture') === at < line.length;
}
