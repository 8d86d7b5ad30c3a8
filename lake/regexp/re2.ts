import { RE2JS } from 're2js';
import { linearTest } from './linear.ts';

/**
 * Regular expressions with the meaning and the linear time of RE2, for texts that come from outside. Where JavaScript's
 * engine is as linear (no repetition, or one that nothing can follow differently), it does the work, which is faster.
 */
export interface Re2 {
  test(text: string): boolean;
  /** The first match's groups, the whole match first; a group that took no part is ''. */
  exec(text: string): readonly string[] | undefined;
  /** Replaces all matches; `$1`, `${1}` and `${name}` are groups, as in Go. */
  replaceAll(text: string, replacement: string): string;
  /** The same with a replacement that is only text. */
  replaceAllText(text: string, replacement: string): string;
  count(text: string): number;
  /** Name of each group that has one, by its number. */
  readonly groupNames: ReadonlyMap<number, string>;
  readonly groupCount: number;
}

/** Compiles a regular expression; throws an Error with the text of Go's regexp package. */
export function compileRe2(pattern: string, full = false): Re2 {
  const source = full ? `^(?s:${pattern})$` : pattern;
  // What is wrong is said of what was written.
  if (full) compiled(pattern);
  const regexp = compiled(source);
  const groupNames = new Map<number, string>();
  for (const [name, group] of Object.entries(regexp.namedGroups() as Record<string, number>))
    groupNames.set(group, name);
  const groupCount = regexp.groupCount();
  return {
    test: plainTest(pattern, full) ?? ((text) => regexp.test(text)),
    exec: (text) => {
      const matcher = regexp.matcher(text);
      if (!matcher.find()) return undefined;
      return Array.from({ length: groupCount + 1 }, (_, group) => matcher.group(group) ?? '');
    },
    replaceAll: (text, replacement) => replaced(regexp, text, replacement),
    replaceAllText: (text, replacement) =>
      regexp.matcher(text).replaceAll(RE2JS.quoteReplacement(replacement)),
    count: (text) => {
      const matcher = regexp.matcher(text);
      let count = 0;
      while (matcher.find()) count++;
      return count;
    },
    groupNames,
    groupCount,
  };
}

function compiled(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    // Go names the text that it stopped at, also where that is the end.
    const where = why.endsWith('trailing backslash at end of expression') ? ': ``' : '';
    const what = why.startsWith('error parsing regexp') ? why : `error parsing regexp: ${why}`;
    throw new Error(what + where, { cause });
  }
}

/** Where JavaScript's engine is as linear. */
function plainTest(pattern: string, full: boolean): ((text: string) => boolean) | undefined {
  if (/^[\w\s:/@,;=%&#~"'<>!-]*$/.test(pattern))
    return (text) => (full ? text === pattern : text.includes(pattern));
  return full ? undefined : linearTest(pattern);
}

/** Go's Expand: `$name` takes as many letters, digits and `_` as there are. */
function replaced(regexp: RE2JS, text: string, replacement: string): string {
  const groups = regexp.namedGroups() as Record<string, number>;
  const matcher = regexp.matcher(text);
  let out = '';
  let at = 0;
  while (matcher.find()) {
    out += text.slice(at, matcher.start());
    out += replacement.replace(/\$(?:\$|(\w+)|\{(\w+)\})/g, (_whole, bare?: string, braced?: string) => {
      const name = bare ?? braced;
      if (name === undefined) return '$';
      const group = /^\d+$/.test(name) ? Number(name) : groups[name];
      return group === undefined || group > regexp.groupCount() ? '' : (matcher.group(group) ?? '');
    });
    at = matcher.end();
  }
  return out + text.slice(at);
}
