// Regular expressions that JavaScript's engine decides in linear time, and as RE2 does: no groups, only ASCII in them, and
// repetitions that can end in one way only. That engine is ten times as fast as a matcher that is linear for all of them.

/** Tests as the expression does in RE2; undefined where it is not one of these. */
export function linearTest(pattern: string): ((text: string) => boolean) | undefined {
  const branches: string[] = [];
  for (let at = 0; at <= pattern.length; ) {
    const branch = branchAt(pattern, at);
    if (branch === undefined || !isLinear(branch.elements)) return undefined;
    branches.push(branch.elements.map(printed).join(''));
    at = branch.end + 1;
  }
  const regexp = new RegExp(branches.join('|'), 'u');
  return (text) => regexp.test(text);
}

/** Which characters: a flag for each of ASCII, and one for all others. */
type CharSet = Uint8Array;
const others = 128;

type Element =
  | { readonly kind: 'anchor'; readonly source: '^' | '$' }
  | {
      readonly kind: 'set';
      readonly set: CharSet;
      /** As JavaScript has it. */
      readonly source: string;
      readonly times: '' | '?' | '+' | '*';
    };

const printed = (element: Element): string =>
  element.kind === 'anchor' ? element.source : element.source + element.times;

/** Each of them may double the ways that are tried. */
const optionalMax = 3;

/**
 * A repetition is left in one way only when what may follow begins with none of its characters; and no second match begins
 * within one when the first character, which must be there, is in none of them.
 */
function isLinear(elements: readonly Element[]): boolean {
  const sets = elements.filter((element) => element.kind === 'set');
  if (sets.filter(({ times }) => times === '?').length > optionalMax) return false;
  const [first] = sets;
  return sets.every(({ set, times }, index) => {
    if (times !== '+' && times !== '*') return true;
    if (first === undefined || first.times !== '' || meet(first.set, set)) return false;
    for (const next of sets.slice(index + 1)) {
      if (meet(next.set, set)) return false;
      if (next.times === '' || next.times === '+') break;
    }
    return true;
  });
}

const meet = (a: CharSet, b: CharSet): boolean => a.some((has, char) => has === 1 && b[char] === 1);

/** The alternative that begins there, and where it ends. */
function branchAt(pattern: string, start: number): { elements: Element[]; end: number } | undefined {
  const elements: Element[] = [];
  let at = start;
  while (at < pattern.length && pattern[at] !== '|') {
    const char = pattern[at] ?? '';
    if (char === '^' || char === '$') {
      elements.push({ kind: 'anchor', source: char });
      at++;
      continue;
    }
    const one = char === '[' ? classAt(pattern, at) : singleAt(pattern, at);
    if (one === undefined) return undefined;
    at = one.end;
    const next = pattern[at] ?? '';
    const times = next === '?' || next === '+' || next === '*' ? next : '';
    if (times !== '') at++;
    // Twice repeated, or repeated as little as possible.
    if (times !== '' && '?+*{'.includes(pattern[at] ?? ' ')) return undefined;
    elements.push({ kind: 'set', set: one.set, source: one.source, times });
  }
  return { elements, end: at };
}

interface One {
  readonly set: CharSet;
  readonly source: string;
  readonly end: number;
}

const setOf = (has: (char: number) => boolean, withOthers = false): CharSet =>
  Uint8Array.from({ length: others + 1 }, (_, char) => Number(char === others ? withOthers : has(char)));

const charSet = (char: string): CharSet => setOf((code) => code === char.charCodeAt(0));

/** Always escaped, so that no character has a meaning of its own. */
const charSource = (code: number): string => `\\x${code.toString(16).padStart(2, '0')}`;

function singleAt(pattern: string, at: number): One | undefined {
  const char = pattern[at] ?? '';
  if (char === '.') return { set: setOf((code) => code !== 10, true), source: '[^\\n]', end: at + 1 };
  if (char === '\\') {
    const escaped = pattern[at + 1] ?? '';
    const named = namedClass(escaped);
    if (named) return { set: named, source: classSource(named), end: at + 2 };
    return isPunctuation(escaped)
      ? { set: charSet(escaped), source: charSource(escaped.charCodeAt(0)), end: at + 2 }
      : undefined;
  }
  if ('()[]{}?+*|'.includes(char) || !isAscii(char)) return undefined;
  return { set: charSet(char), source: charSource(char.charCodeAt(0)), end: at + 1 };
}

const isAscii = (char: string): boolean => char !== '' && char.charCodeAt(0) < 128;
const isPunctuation = (char: string): boolean => isAscii(char) && /[!-/:-@[-`{-~]/.test(char);

/** RE2's: of ASCII only. */
function namedClass(letter: string): CharSet | undefined {
  const within = { d: /[0-9]/, w: /[0-9A-Za-z_]/, s: /[\t\n\f\r ]/ }[letter];
  return within && setOf((code) => within.test(String.fromCharCode(code)));
}

/** `[...]` of characters and ranges. */
function classAt(pattern: string, start: number): One | undefined {
  const negated = pattern[start + 1] === '^';
  const chars = new Uint8Array(others + 1);
  let at = start + (negated ? 2 : 1);
  for (let first = true; first || pattern[at] !== ']'; first = false) {
    const from = classChar(pattern, at);
    if (from === undefined) return undefined;
    at = from.end;
    if (from.named) {
      from.named.forEach((has, char) => {
        if (has === 1) chars[char] = 1;
      });
      continue;
    }
    let to = from;
    if (pattern[at] === '-' && pattern[at + 1] !== ']') {
      const upper = classChar(pattern, at + 1);
      if (upper === undefined || upper.named || upper.code < from.code) return undefined;
      to = upper;
      at = upper.end;
    }
    chars.fill(1, from.code, to.code + 1);
  }
  const set = negated ? setOf((code) => chars[code] === 0, true) : chars;
  return { set, source: classSource(set), end: at + 1 };
}

interface ClassChar {
  readonly code: number;
  readonly named: CharSet | undefined;
  readonly end: number;
}

function classChar(pattern: string, at: number): ClassChar | undefined {
  const char = pattern[at] ?? '';
  const code = char.charCodeAt(0);
  if (char === '\\') {
    const escaped = pattern[at + 1] ?? '';
    const named = namedClass(escaped);
    if (named === undefined && !isPunctuation(escaped)) return undefined;
    return { code: escaped.charCodeAt(0), named, end: at + 2 };
  }
  // Names of classes, and what is read differently: a bracket or a dash that stands for itself.
  if (!isAscii(char) || char === '[' || char === ']' || char === '-') return undefined;
  return { code, named: undefined, end: at + 1 };
}

function classSource(set: CharSet): string {
  const wanted = set[others] === 1 ? 0 : 1;
  const chars = Array.from(set.subarray(0, others).entries(), ([code, has]) =>
    has === wanted ? charSource(code) : '',
  );
  return `[${wanted === 0 ? '^' : ''}${chars.join('')}]`;
}
