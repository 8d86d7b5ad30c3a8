/**
 * RE2 syntax (what Prometheus' matchers and label_replace speak) as JavaScript regular expressions, with RE2's error
 * texts. Stored series are matched by DuckDB, which has RE2 itself; this is for validation and label_replace.
 */
export function compileRegexp(pattern: string): RegExp {
  const translated = translate(pattern);
  try {
    return new RegExp(`^(?:${translated})$`, 'su');
  } catch (cause) {
    throw new Error(`error parsing regexp: ${explain(cause, pattern)}`, { cause });
  }
}

function explain(cause: unknown, pattern: string): string {
  const text = cause instanceof Error ? cause.message : '';
  if (/Unterminated group/.test(text)) return `missing closing ): \`${pattern}\``;
  if (/Unmatched '\)'/.test(text)) return `unexpected ): \`${pattern}\``;
  if (/Unterminated character class/.test(text)) return `missing closing ]: \`${pattern}\``;
  if (/Nothing to repeat/.test(text))
    return `missing argument to repetition operator: \`${/[*+?]/.exec(pattern)?.[0] ?? ''}\``;
  if (/out of order in character class/.test(text)) return `invalid character class range: \`${pattern}\``;
  return `invalid or unsupported Perl syntax: \`${pattern}\``;
}

const posixClasses: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7F',
  blank: '\\t ',
  cntrl: '\\x00-\\x1F\\x7F',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};

interface Translation {
  readonly source: string;
  at: number;
  out: string;
  inClass: boolean;
  /** For every open group: how many groups were opened in it for flags like (?i), which hold up to its end. */
  readonly flagGroups: number[];
}

function translate(source: string): string {
  const state: Translation = { source, at: 0, out: '', inClass: false, flagGroups: [0] };
  while (state.at < source.length) {
    const rest = source.slice(state.at);
    const posix = state.inClass ? /^\[:(\w+):\]/.exec(rest) : null;
    const quoted = /^\\Q([\s\S]*?)(?:\\E|$)/.exec(rest);
    if (posix && Object.hasOwn(posixClasses, posix[1] ?? ''))
      put(state, posixClasses[posix[1] ?? ''] ?? '', posix[0].length);
    else if (quoted) {
      const literal = (quoted[1] ?? '').replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => `\\x${hex(char)}`);
      put(state, literal, quoted[0].length);
    } else if (rest.startsWith('\\')) {
      const { text, length } = translateEscape(rest);
      put(state, text, length);
    } else if (state.inClass) translateMember(state, rest);
    else translatePlain(state, rest);
  }
  if (state.flagGroups.length > 1) throw new Error(`error parsing regexp: missing closing ): \`${source}\``);
  return state.out + ')'.repeat(state.flagGroups[0] ?? 0);
}

function put(state: Translation, text: string, length: number): undefined {
  state.out += text;
  state.at += length;
}

const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, '0');

function translateEscape(rest: string): { text: string; length: number } {
  const next = rest[1];
  if (next === undefined)
    throw new Error('error parsing regexp: trailing backslash at end of expression: ``');
  if (next === 'A') return { text: '^', length: 2 };
  if (next === 'z') return { text: '$', length: 2 };
  if (next === 'a') return { text: '\\x07', length: 2 };
  if (next === 'C') return { text: '[\\s\\S]', length: 2 };
  const code = /^\\x\{([0-9a-fA-F]+)\}/.exec(rest);
  if (code) return { text: `\\u{${code[1]}}`, length: code[0].length };
  const octal = /^\\([0-7]{2,3}|0)/.exec(rest);
  if (octal)
    return { text: `\\u{${Number.parseInt(octal[1] ?? '0', 8).toString(16)}}`, length: octal[0].length };
  const property = /^\\([pP])(?:([A-Z])|\{(\^?)(\w+)\})/.exec(rest);
  if (property) {
    const [whole, letter = 'p', short, not, long] = property;
    const name = short ?? long ?? '';
    const script = name.length > 2 ? `Script=${name}` : name;
    const negated = (letter === 'P') !== (not === '^');
    return { text: `\\${negated ? 'P' : 'p'}{${script}}`, length: whole.length };
  }
  if (/[dDwWsSbBntrfv]/.test(next)) return { text: `\\${next}`, length: 2 };
  if (/^\\x[0-9a-fA-F]{2}/.test(rest)) return { text: rest.slice(0, 4), length: 4 };
  if (/[\w]/.test(next) && next !== '_')
    throw new Error(`error parsing regexp: invalid escape sequence: \`\\${next}\``);
  // Any escaped punctuation stands for itself; JavaScript would refuse most of it.
  if (next.charCodeAt(0) < 128) return { text: `\\x${hex(next)}`, length: 2 };
  return { text: next, length: 2 };
}

function translateMember(state: Translation, rest: string): undefined {
  if (rest.startsWith('[')) return put(state, '\\[', 1);
  if (rest.startsWith(']')) state.inClass = false;
  const char = String.fromCodePoint(rest.codePointAt(0) ?? 0);
  put(state, char, char.length);
}

function translatePlain(state: Translation, rest: string): undefined {
  const [char = ''] = rest;
  if (char === '[') {
    // A closing bracket in first place is a member of the class.
    const opening = /^\[\^?\]?/.exec(rest)?.[0] ?? '[';
    state.inClass = true;
    return put(state, opening.replace(/\]$/, '\\]'), opening.length);
  }
  if (char === '(') return translateOpening(state, rest);
  if (char === ')') {
    const extra = state.flagGroups.pop() ?? 0;
    if (state.flagGroups.length === 0)
      throw new Error(`error parsing regexp: unexpected ): \`${state.source}\``);
    return put(state, ')'.repeat(extra + 1), 1);
  }
  const twice = /^(?:\*\*|\+\*|\?\*|\*\+|\+\+|\?\+)/.exec(rest);
  if (twice) throw new Error(`error parsing regexp: invalid nested repetition operator: \`${twice[0]}\``);
  const count = /^\{\d+(?:,\d*)?\}/.exec(rest);
  if (count) return put(state, count[0], count[0].length);
  // Braces and brackets that open or close nothing stand for themselves in RE2.
  if (char === '{' || char === '}' || char === ']') return put(state, `\\${char}`, 1);
  const wide = String.fromCodePoint(rest.codePointAt(0) ?? 0);
  put(state, wide, wide.length);
}

function translateOpening(state: Translation, rest: string): undefined {
  // Flags up to the end of the group; JavaScript has them for a group of their own only. `U` swaps greediness, which
  // changes no full match.
  const flags = /^\(\?([imsU]*)(?:-([imsU]+))?\)/.exec(rest);
  if (flags) {
    const last = state.flagGroups.length - 1;
    state.flagGroups[last] = (state.flagGroups[last] ?? 0) + 1;
    return put(state, flagGroup(flags[1], flags[2]), flags[0].length);
  }
  state.flagGroups.push(0);
  const named = /^\(\?P?<(\w+)>/.exec(rest);
  if (named) return put(state, `(?<${named[1]}>`, named[0].length);
  const scoped = /^\(\?([imsU]*)(?:-([imsU]+))?:/.exec(rest);
  if (scoped) return put(state, flagGroup(scoped[1], scoped[2]), scoped[0].length);
  if (rest.startsWith('(?'))
    throw new Error(`error parsing regexp: invalid or unsupported Perl syntax: \`${rest.slice(0, 3)}\``);
  put(state, '(', 1);
}

function flagGroup(on = '', off = ''): string {
  const plain = (flags: string): string => flags.replaceAll('U', '');
  const without = plain(off) === '' ? '' : `-${plain(off)}`;
  return `(?${plain(on)}${without}:`;
}
