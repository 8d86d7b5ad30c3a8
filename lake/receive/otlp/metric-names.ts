// From OpenTelemetry's names and units to Prometheus', as Prometheus translates them by default
// (UnderscoreEscapingWithSuffixes).

export type MetricKind = 'gauge' | 'counter' | 'updown' | 'histogram' | 'summary';

const units: Readonly<Record<string, string>> = {
  ...{ d: 'days', h: 'hours', min: 'minutes', s: 'seconds', ms: 'milliseconds', us: 'microseconds' },
  ...{ ns: 'nanoseconds', By: 'bytes', KiBy: 'kibibytes', MiBy: 'mebibytes', GiBy: 'gibibytes' },
  ...{ TiBy: 'tibibytes', KBy: 'kilobytes', MBy: 'megabytes', GBy: 'gigabytes', TBy: 'terabytes' },
  ...{ m: 'meters', V: 'volts', A: 'amperes', J: 'joules', W: 'watts', g: 'grams' },
  ...{ Cel: 'celsius', Hz: 'hertz', '1': '', '%': 'percent' },
};
const perUnits: Readonly<Record<string, string>> = {
  ...{ s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week', mo: 'month', y: 'year' },
};

const lookUp = (table: Readonly<Record<string, string>>, unit: string): string =>
  Object.hasOwn(table, unit) ? (table[unit] ?? '') : unit;

/** The name of a metric family; '' when there is nothing in the name that Prometheus could have. */
export function metricName(name: string, unit: string, kind: MetricKind): string {
  let words = name.split(/[^a-zA-Z0-9:]+/).filter((word) => word !== '');
  if (words.length === 0) return '';
  const [main, per] = unitWords(unit);
  if (main !== '' && !words.includes(main)) words.push(main);
  if (per !== '' && !words.includes(per)) words.push(per);
  if (kind === 'counter') words = [...words.filter((word) => word !== 'total'), 'total'];
  if (unit === '1' && kind === 'gauge') words = [...words.filter((word) => word !== 'ratio'), 'ratio'];
  const joined = words.join('_');
  return /^\d/.test(joined) ? `_${joined}` : joined;
}

/** The suffixes that a unit makes: `By/s` is `bytes` and `per_second`. Units in braces are remarks. */
function unitWords(unit: string): [main: string, per: string] {
  const slash = unit.indexOf('/');
  const main = (slash < 0 ? unit : unit.slice(0, slash)).trim();
  const per = slash < 0 ? '' : unit.slice(slash + 1).trim();
  const isRemark = (text: string): boolean => text === '' || /[{}]/.test(text);
  const perWord = isRemark(per) ? '' : clean(lookUp(perUnits, per));
  return [isRemark(main) ? '' : clean(lookUp(units, main)), perWord === '' ? '' : `per_${perWord}`];
}

const clean = (unit: string): string => unit.replaceAll(/[^a-zA-Z0-9:]+/g, '_').replaceAll(/^_|_$/g, '');
