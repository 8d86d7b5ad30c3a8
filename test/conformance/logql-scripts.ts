// Loki's .logqltest scripts: `clear`, `load` and `eval` (the corpus' README has the format).

export type Command =
  | { readonly kind: 'clear'; readonly line: number }
  | { readonly kind: 'load'; readonly line: number; readonly streams: readonly LoadedStream[] }
  | Eval;

interface LoadedStream {
  readonly labels: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds from the scripts' beginning, and the line. */
  readonly entries: readonly (readonly [ms: number, line: string])[];
}

export interface Eval {
  readonly kind: 'eval';
  readonly line: number;
  readonly query: string;
  readonly times:
    | { readonly atMs: number }
    | { readonly startMs: number; readonly endMs: number; readonly stepMs: number };
  readonly expected: Expected;
}

export interface Expected {
  readonly empty: boolean;
  readonly ordered: boolean;
  readonly fail: { readonly text: string | undefined; readonly regexp: boolean } | undefined;
  readonly scalar: number | undefined;
  readonly series: readonly {
    readonly labels: Readonly<Record<string, string>>;
    readonly points: readonly (number | undefined)[];
  }[];
}

/** Without a comment that is in no quotes. */
function stripped(line: string): string {
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const char = line[at] ?? '';
    if (quote !== '') {
      if (char === '\\' && quote === '"') at++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === '`') quote = char;
    else if (char === '#') return line.slice(0, at).trimEnd();
  }
  return line.trimEnd();
}

export function parseScript(text: string): readonly Command[] {
  const lines = text.split('\n').map(stripped);
  const commands: Command[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    if (line.trim() === '') continue;
    const block: string[] = [];
    const begin = at + 1;
    // A blank line ends a block, one that is only a comment does not.
    while (at + 1 < lines.length && /^\s/.test(text.split('\n')[at + 1] ?? '')) {
      const next = lines[++at] ?? '';
      if (next.trim() !== '') block.push(next.trim());
    }
    if (line.startsWith('clear')) commands.push({ kind: 'clear', line: begin });
    else if (line.startsWith('load'))
      commands.push({ kind: 'load', line: begin, streams: block.map(streamOf) });
    else if (line.startsWith('eval')) commands.push(evalOf(line, begin, block));
    else throw new Error(`line ${begin}: ${line}`);
  }
  return commands;
}

function durationMs(text: string): number {
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(-?[\d.]+)(ms|s|m|h|d)/g))
    ms += Number(number) * { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as 's'];
  return Math.round(ms);
}

function pairs(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, name = '', value = ''] of text.matchAll(/([^\s,={]+)=("(?:[^"\\]|\\.)*"|`[^`]*`)/g))
    found[name] = value.startsWith('`') ? value.slice(1, -1) : (JSON.parse(value) as string);
  return found;
}

function streamOf(text: string): LoadedStream {
  const [whole = '', labels = ''] = /^(\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})/.exec(text) ?? [];
  const [, line = '', rest = ''] = /^\s*("[^"]*"|`[^`]*`)\s*@\s*(.*)$/s.exec(text.slice(whole.length)) ?? [];
  const template = line.slice(1, -1);
  const start = durationMs(rest.split(/[\s[]/)[0] ?? '');
  const repeat = /\[repeat every (\S+)\s+for (\d+)\]/.exec(rest);
  const metadata = /\[metadata ([^\]]*)\]/.exec(rest);
  const count = repeat === null ? 1 : Number(repeat[2]);
  const every = repeat === null ? 0 : durationMs(repeat[1] ?? '');
  return {
    labels: pairs(labels),
    metadata: metadata === null ? {} : pairs(metadata[1] ?? ''),
    entries: Array.from({ length: count }, (_, i) => [
      start + i * every,
      template.replaceAll('{{.i}}', String(i)),
    ]),
  };
}

function evalOf(line: string, at: number, block: readonly string[]): Eval {
  const instant = /^eval instant at (\S+)\s+(.*)$/s.exec(line);
  const range = /^eval range from (\S+) to (\S+) step (\S+)\s+(.*)$/s.exec(line);
  const expected = expectedOf(block);
  if (instant !== null)
    return {
      ...{ kind: 'eval', line: at, query: instant[2] ?? '', expected },
      times: { atMs: durationMs(instant[1] ?? '') },
    };
  if (range === null) throw new Error(`line ${at}: ${line}`);
  const [startMs = 0, endMs = 0, stepMs = 1] = range.slice(1, 4).map(durationMs);
  return { kind: 'eval', line: at, query: range[4] ?? '', times: { startMs, endMs, stepMs }, expected };
}

function expectedOf(block: readonly string[]): Expected {
  let expected: Expected = { empty: false, ordered: false, fail: undefined, scalar: undefined, series: [] };
  for (const line of block) {
    if (line.startsWith('skip')) continue;
    const fail = /^expect fail(?:\s+(msg|regex):\s*(.*))?$/.exec(line);
    if (fail !== null) expected = { ...expected, fail: { text: fail[2], regexp: fail[1] === 'regex' } };
    else if (line === 'expect empty') expected = { ...expected, empty: true };
    else if (line === 'expect ordered') expected = { ...expected, ordered: true };
    else if (line.startsWith('{')) {
      const [labels = ''] = /^\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}/.exec(line) ?? [];
      const points = pointsOf(line.slice(labels.length).trim());
      expected = { ...expected, series: [...expected.series, { labels: pairs(labels), points }] };
    } else expected = { ...expected, scalar: numberOf(line) };
  }
  return expected;
}

export function numberOf(text: string): number {
  const lower = text.toLowerCase();
  if (/^[+]?inf/.test(lower)) return Infinity;
  if (lower.startsWith('-inf')) return -Infinity;
  return lower === 'nan' ? Number.NaN : Number(text);
}

function pointsOf(text: string): (number | undefined)[] {
  return text.split(/\s+/).flatMap((word) => {
    const times = /^(.+?)x(\d+)$/.exec(word);
    if (times === null) return [word === '_' ? undefined : numberOf(word)];
    const count = Number(times[2]);
    if (times[1] === '_') return Array.from({ length: count }, () => undefined);
    const [, base = '0', delta = '0'] = /^([-+]?[^-+]+)([-+].+)?$/.exec(times[1] ?? '') ?? [];
    return Array.from({ length: count + 1 }, (_, i) => numberOf(base) + i * Number(delta));
  });
}
