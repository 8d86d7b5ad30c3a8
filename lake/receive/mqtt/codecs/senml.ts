import { PayloadError } from './payload-error.ts';

// SenML (RFC 8428): a pack of records, in which base values (bn, bt, bu, bv, bs) hold for what follows.

/** A record with its base values put in. */
interface SenmlRecord {
  readonly n: string;
  /** The name behind its last : or /, and what is before it. */
  readonly name: string;
  readonly device: string;
  readonly u: string;
  readonly value: unknown;
  /** Seconds since the Unix epoch; absent: now. */
  readonly t?: number;
}

/** Section 6: the labels of the CBOR form. */
const cborLabels: Readonly<Record<string, string>> = {
  ...{ '-1': 'bver', '-2': 'bn', '-3': 'bt', '-4': 'bu', '-5': 'bv', '-6': 'bs' },
  ...{ '0': 'n', '1': 'u', '2': 'v', '3': 'vs', '4': 'vb', '5': 's', '6': 't', '7': 'ut', '8': 'vd' },
};
/** Section 4.5.3: smaller times are relative to now. */
const absoluteFrom = 2 ** 28;
const versionMax = 10;

export function resolveSenml(pack: unknown, receivedUs: number): SenmlRecord[] {
  if (!Array.isArray(pack)) throw new PayloadError('bad-payload');
  const base = { n: '', t: 0, u: '', v: 0, s: 0 };
  const records: SenmlRecord[] = [];
  for (const each of pack) {
    const record = named(each);
    base.n = text(record.bn) ?? base.n;
    base.t = number(record.bt) ?? base.t;
    base.u = text(record.bu) ?? base.u;
    base.v = number(record.bv) ?? base.v;
    base.s = number(record.bs) ?? base.s;
    if ((number(record.bver) ?? versionMax) > versionMax) throw new PayloadError('bad-payload');
    const value = valueIn(record, base);
    if (value === undefined) continue;
    const n = base.n + (text(record.n) ?? '');
    // Section 4.5.1: a name is not empty and starts with a letter or digit
    if (!/^[A-Za-z0-9][-:./_A-Za-z0-9]*$/.test(n)) throw new PayloadError('bad-payload');
    const [, device = '', name = n] = /^(.*)[:/]([^:/]+)$/.exec(n) ?? [];
    const t = (number(record.t) ?? 0) + base.t;
    const seconds = t >= absoluteFrom ? t : t === 0 ? undefined : receivedUs / 1e6 + t;
    const u = text(record.u) ?? base.u;
    records.push({ n, name, device, u, value, ...(seconds !== undefined && { t: seconds }) });
  }
  return records;
}

function named(record: unknown): Readonly<Record<string, unknown>> {
  if (typeof record !== 'object' || record === null || Array.isArray(record))
    throw new PayloadError('bad-payload');
  const entries = Object.entries(record).map(([label, value]): [string, unknown] => [
    cborLabels[label] ?? label,
    value,
  ]);
  // Section 4.4: a label that ends with _ has to be understood
  if (entries.some(([label]) => label.endsWith('_'))) throw new PayloadError('bad-payload');
  return Object.fromEntries(entries);
}

function valueIn(record: Readonly<Record<string, unknown>>, base: { v: number; s: number }): unknown {
  if (record.v !== undefined) return (number(record.v) ?? 0) + base.v;
  if (record.s !== undefined) return (number(record.s) ?? 0) + base.s;
  return record.vb ?? record.vs;
}

function number(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'number') throw new PayloadError('bad-payload');
  return value;
}

function text(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string') throw new PayloadError('bad-payload');
  return value;
}
