import type { Label } from '../../model/labels.ts';
import { labelName } from '../label-name.ts';
import { readEnd } from '../protobuf.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { type Pair, readKeyValue } from './any-value.ts';
import { attributeText, type Resource, type Scope } from './resource.ts';
import { type BufferCursor, cursorOf, eachField, messageTag, within } from './wire.ts';

// The series of data points. Known ones are found by bytes: which metric of which resource and scope, which of its
// series (a bucket, the sum, ...), and the attributes of the point as they came. Labels are made for new ones only.

/** A metric of one resource and scope, as it is named in Prometheus. */
export interface MetricIdentity {
  /** Not used for any other metric, ever. */
  readonly id: number;
  readonly family: string;
  readonly resource: Resource;
  readonly scope: Scope;
}

export interface Identities {
  of(key: string): number;
}

const identitiesMax = 100_000;

/** Numbers for keys. A key that was forgotten gets a new number: its series are then looked at again. */
export function createIdentities(): Identities {
  const ids = new Map<string, number>();
  let last = 0;
  return {
    of: (key) => {
      const known = ids.get(key);
      if (known !== undefined) return known;
      if (ids.size >= identitiesMax) ids.clear();
      ids.set(key, ++last);
      return last;
    },
  };
}

const headerBytes = 16;
const keyMark = 0x4d; // M: the cache holds keys of other receivers too

/** The bytes of the attributes of the point that is read, behind room for a header. */
export interface PointKey {
  /** Begins a new point. */
  clear(): void;
  /** Takes the KeyValue that begins at the cursor. */
  take(cursor: BufferCursor): true;
  /** The series `suffix` of the point's family; `extra` is a bound or quantile, as its label. */
  series(cache: SeriesCache, metric: MetricIdentity, suffix: string, extra?: ExtraLabel): CachedSeries;
}

interface ExtraLabel {
  readonly name: 'le' | 'quantile';
  readonly value: number;
}

const suffixes = ['', '_bucket', '_sum', '_count'];
const attributeField = messageTag(1);

export function createPointKey(): PointKey {
  let key = Buffer.alloc(1024);
  let length = headerBytes;
  return {
    clear: () => {
      length = headerBytes;
    },
    take: (cursor) => {
      const start = cursor.pos;
      const end = readEnd(cursor);
      const bytes = end - start + 1;
      while (length + bytes > key.length) key = Buffer.concat([key, Buffer.alloc(key.length)]);
      key[length] = attributeField;
      cursor.bytes.copy(key, length + 1, start, end);
      length += bytes;
      cursor.pos = end;
      return true;
    },
    series: (cache, metric, suffix, extra) => {
      key[0] = keyMark;
      key[1] = suffixes.indexOf(suffix) * 4 + (extra === undefined ? 0 : extra.name === 'le' ? 1 : 2);
      key.writeUIntLE(metric.id, 2, 6);
      key.writeDoubleLE(extra?.value ?? 0, 8);
      return (
        cache.find(key, 0, length) ??
        cache.add(key, 0, length, labelsOf(metric, suffix, attributesIn(key, length), extra))
      );
    },
  };
}

function attributesIn(key: Buffer, length: number): Pair[] {
  const cursor = cursorOf(key.subarray(headerBytes, length));
  const attributes: Pair[] = [];
  eachField(
    cursor,
    (tag) => tag === attributeField && within(cursor, () => attributes.push(readKeyValue(cursor))),
  );
  return attributes;
}

function labelsOf(
  { family, resource, scope }: MetricIdentity,
  suffix: string,
  attributes: readonly Pair[],
  extra: ExtraLabel | undefined,
): Label[] {
  const labels = attributeLabels(attributes);
  for (const [name, value] of scopeLabels(scope)) labels.set(name, value);
  for (const [name, value] of targetLabels(resource)) labels.set(name, value);
  if (extra) labels.set(extra.name, floatText(extra.value));
  labels.set('__name__', `${family}${suffix}`);
  return [...labels];
}

/** Attributes whose keys become the same name are joined, in order of their keys. */
function attributeLabels(attributes: readonly Pair[]): Map<string, string> {
  const byKey = new Map(attributes.map(({ key, value }) => [key, value.text]));
  const labels = new Map<string, string>();
  for (const key of [...byKey.keys()].sort()) {
    const name = labelName(key);
    const value = byKey.get(key) ?? '';
    const before = labels.get(name);
    if (name !== '') labels.set(name, before === undefined ? value : `${before};${value}`);
  }
  return labels;
}

function* scopeLabels({ name, version, attributes }: Scope): Generator<Label> {
  if (name === '') return;
  yield ['otel_scope_name', name];
  yield ['otel_scope_version', version];
  for (const { key, value } of attributes)
    yield [`otel_scope_${key.replaceAll(/[^a-zA-Z0-9_]/g, '_')}`, value.text];
}

/** `job` and `instance`, as far as the resource says them. */
function* targetLabels(resource: Resource): Generator<Label> {
  const service = attributeText(resource, 'service.name');
  const namespace = attributeText(resource, 'service.namespace');
  const instance = attributeText(resource, 'service.instance.id');
  if (service !== '') yield ['job', namespace === '' ? service : `${namespace}/${service}`];
  if (instance !== '') yield ['instance', instance];
}

const identifying = new Set(['service.name', 'service.namespace', 'service.instance.id']);

/** The labels of target_info; undefined where there is nothing that job and instance do not say. */
export function targetInfoLabels(resource: Resource): Label[] | undefined {
  const others = resource.attributes.filter(({ key }) => !identifying.has(key));
  const target = [...targetLabels(resource)];
  if (others.length === 0 || target.length === 0) return undefined;
  return [...new Map([...attributeLabels(others), ...target, ['__name__', 'target_info'] as const])];
}

/** As Go prints a float without an exponent. */
function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const [, sign = '', whole = '', fraction = '', exponent] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  if (exponent === undefined) return String(value);
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return point >= digits.length
    ? `${sign}${digits.padEnd(point, '0')}`
    : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}
