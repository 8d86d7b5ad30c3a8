/** Patterns of to_char and to_date, longest first, in the words of strftime; `FM` in front drops the padding. */
const patterns: readonly (readonly [pattern: string, format: string, unpadded?: string])[] = [
  ['HH24', '%H', '%-H'],
  ['HH12', '%I', '%-I'],
  ['YYYY', '%Y'],
  ['IYYY', '%G'],
  ['Month', '%B'],
  ['DDD', '%j', '%-j'],
  ['Day', '%A'],
  ['Mon', '%b'],
  ['YY', '%y', '%-y'],
  ['MM', '%m', '%-m'],
  ['DD', '%d', '%-d'],
  ['HH', '%I', '%-I'],
  ['MI', '%M', '%-M'],
  ['SS', '%S', '%-S'],
  ['MS', '%g'],
  ['US', '%f'],
  ['AM', '%p'],
  ['PM', '%p'],
  ['TZ', '%Z'],
  ['OF', '%z'],
  ['IW', '%V'],
  ['ID', '%u'],
  ['Dy', '%a'],
];

/** A format of PostgreSQL's to_char for dates and times as one of strftime; undefined when a pattern has no equal. */
export function duckdbFormat(format: string): string | undefined {
  let converted = '';
  let rest = format;
  while (rest !== '') {
    const literal = /^"([^"]*)"/.exec(rest);
    if (literal) {
      converted += literal[1]?.replaceAll('%', '%%') ?? '';
      rest = rest.slice(literal[0].length);
      continue;
    }
    const unpadded = rest.startsWith('FM');
    if (unpadded) rest = rest.slice(2);
    // Lower case is the same pattern but for names of months and days, whose case is that of the result.
    const found = patterns.find(
      ([pattern]) =>
        rest.startsWith(pattern) || (/^[A-Z0-9]+$/.test(pattern) && rest.startsWith(pattern.toLowerCase())),
    );
    if (found) {
      const [pattern, padded, bare] = found;
      converted += unpadded ? (bare ?? padded) : padded;
      rest = rest.slice(pattern.length);
    } else if (/^[A-Za-z09]/.test(rest)) return undefined;
    else {
      converted += rest[0] === '%' ? '%%' : rest[0];
      rest = rest.slice(1);
    }
  }
  return converted;
}
