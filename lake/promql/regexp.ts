/**
 * RE2 syntax (what Prometheus' matchers and label_replace speak) as JavaScript regular expressions, with RE2's error
 * texts. Stored series are matched by DuckDB, which has RE2 itself; this is for validation and label_replace.
 */
export function compileRegexp(pattern: string): RegExp {
  const flags = new Set<string>(['s']);
  let source = pattern;
  // Flags for the whole pattern; JavaScript has them outside only.
  const whole = /^\(\?([imsU]+)\)/.exec(source);
  if (whole) {
    for (const flag of whole[1] ?? '') if (flag === 'i' || flag === 'm') flags.add(flag);
    source = source.slice(whole[0].length);
  }
  const translated = translate(source, pattern);
  try {
    return new RegExp(`^(?:${translated})$`, [...flags, 'u'].join(''));
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

function translate(source: string, pattern: string): string {
  let out = '';
  let inClass = false;
  for (let at = 0; at < source.length; ) {
    const rest = source.slice(at);
    const posix = inClass ? /^\[:(\w+):\]/.exec(rest) : null;
    const quoted = /^\\Q([\s\S]*?)(?:\\E|$)/.exec(rest);
    if (posix && Object.hasOwn(posixClasses, posix[1] ?? '')) {
      out += posixClasses[posix[1] ?? ''];
      at += posix[0].length;
    } else if (quoted) {
      out += (quoted[1] ?? '').replace(/[\\^$.*+?()[\]{}|/-]/g, (char) => `\\x${hex(char)}`);
      at += quoted[0].length;
    } else if (source[at] === '\\') {
      const escaped = translateEscape(rest, pattern);
      out += escaped.text;
      at += escaped.length;
    } else {
      const plain = translatePlain(rest, inClass, pattern);
      inClass = plain.inClass;
      out += plain.text;
      at += plain.length;
    }
  }
  return out;
}

const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, '0');

function translateEscape(rest: string, pattern: string): { text: string; length: number } {
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
    throw new Error(`error parsing regexp: invalid escape sequence: \`\\${next}\``, { cause: pattern });
  // Any escaped punctuation stands for itself; JavaScript would refuse most of it.
  if (next.charCodeAt(0) < 128) return { text: `\\x${hex(next)}`, length: 2 };
  return { text: next, length: 2 };
}

function translatePlain(
  rest: string,
  inClass: boolean,
  pattern: string,
): { text: string; length: number; inClass: boolean } {
  const [char = ''] = rest;
  if (inClass) {
    if (char === '[') return { text: '\\[', length: 1, inClass };
    return { text: char, length: 1, inClass: char !== ']' };
  }
  if (char === '[') {
    // A closing bracket in first place is a member of the class.
    const opening = /^\[\^?\]?/.exec(rest)?.[0] ?? '[';
    return { text: opening.replace(/\]$/, '\\]'), length: opening.length, inClass: true };
  }
  const named = /^\(\?P?<(\w+)>/.exec(rest);
  if (named) return { text: `(?<${named[1]}>`, length: named[0].length, inClass };
  if (/^\(\?(?:<?[=!])/.test(rest))
    throw new Error(`error parsing regexp: invalid or unsupported Perl syntax: \`${rest.slice(0, 3)}\``, {
      cause: pattern,
    });
  const twice = /^(?:\*\*|\+\*|\?\*|\*\+|\+\+|\?\+)/.exec(rest);
  if (twice) throw new Error(`error parsing regexp: invalid nested repetition operator: \`${twice[0]}\``);
  // Braces that are no repetition stand for themselves in RE2.
  if (char === '{' && !/^\{\d+(?:,\d*)?\}/.test(rest)) return { text: '\\{', length: 1, inClass };
  if (char === '{') {
    const count = /^\{\d+(?:,\d*)?\}/.exec(rest)?.[0] ?? '';
    return { text: count, length: count.length, inClass };
  }
  if (char === '}' || char === ']') return { text: `\\${char}`, length: 1, inClass };
  const wide = String.fromCodePoint(rest.codePointAt(0) ?? 0);
  return { text: wide, length: wide.length, inClass };
}
