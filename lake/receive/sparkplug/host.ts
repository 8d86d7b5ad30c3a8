import { hasCode } from '../../base/errors.ts';
import type { Label } from '../../model/labels.ts';
import { PayloadError } from '../mqtt/codecs/payload-error.ts';
import { metricName, type Reading, type TopicRule } from '../mqtt/rules/reading.ts';
import { type BirthStore, createEdgeNodes, type EdgeNode, type KnownMetric } from './edge-nodes.ts';
import {
  readSparkplugPayload,
  type SparkplugMetric,
  type SparkplugPayload,
  TooManyValues,
} from './payload.ts';
import { sparkplugValue } from './value.ts';

// A Sparkplug 3.0 host application: README.md says what becomes of its messages.

export interface SparkplugOptions {
  readonly store: BirthStore;
  /** To be sent to an edge node as NCMD; at most once in rebirthIntervalMs. */
  readonly askRebirth: (group: string, edgeNode: string, why: RebirthReason) => void;
  readonly rebirthIntervalMs: number;
  readonly valuesPerPayloadMax: number;
  /** Metrics of all births; births beyond it are set aside. */
  readonly metricsMax: number;
}

export const sparkplugLimits = { rebirthIntervalMs: 30_000, metricsMax: 500_000 } as const;

type RebirthReason = 'no birth' | 'gap' | 'unknown alias' | 'restart';

const namespace = 'spBv1.0';
const nodeTypes = ['NBIRTH', 'NDATA', 'NDEATH', 'NCMD'];
const deviceTypes = ['DBIRTH', 'DDATA', 'DDEATH', 'DCMD'];

/** Where a message comes from. */
interface Source {
  readonly type: string;
  readonly group: string;
  readonly edge: string;
  /** '' for the edge node itself. */
  readonly device: string;
  readonly node: EdgeNode;
  /** `group/edge` */
  readonly id: string;
}

export function sparkplugHost(options: SparkplugOptions): TopicRule {
  const nodes = createEdgeNodes(options.store, options.metricsMax);
  const host: Host = { ...options, nodes };
  return {
    name: 'sparkplug',
    match: (_, levels) => {
      const [root, group = '', type = '', edge = '', device = ''] = levels;
      if (root !== namespace) return undefined;
      const isNode = nodeTypes.includes(type) && levels.length === 4;
      if (!isNode && !(deviceTypes.includes(type) && levels.length === 5))
        return group === 'STATE' ? { rule: 'sparkplug', read: () => [] } : undefined;
      const id = `${group}/${edge}`;
      return {
        rule: 'sparkplug',
        read: (bytes, receivedUs) =>
          type.endsWith('CMD')
            ? []
            : handle(
                host,
                { type, group, edge, device, id, node: nodes.nodeOf(id) },
                decode(bytes, host),
                receivedUs,
              ),
      };
    },
  };
}

interface Host extends SparkplugOptions {
  readonly nodes: ReturnType<typeof createEdgeNodes>;
}

function decode(bytes: Uint8Array, limits: SparkplugOptions): SparkplugPayload {
  try {
    return readSparkplugPayload(bytes, limits);
  } catch (error) {
    if (error instanceof TooManyValues) throw new PayloadError('too-many-values');
    if (hasCode(error, 'invalid')) throw new PayloadError('bad-payload');
    throw error;
  }
}

function handle(host: Host, source: Source, payload: SparkplugPayload, receivedUs: number): Reading[] {
  switch (source.type) {
    case 'NBIRTH':
      return nodeBirth(host, source, payload);
    case 'DBIRTH':
      follow(host, source, payload, receivedUs);
      return birth(host, source, payload);
    case 'NDEATH':
      return nodeDeath(source, payload, receivedUs);
    case 'DDEATH': {
      follow(host, source, payload, receivedUs);
      const timestampUs = payload.timestampMs === undefined ? receivedUs : payload.timestampMs * 1000;
      return die(source, source.device, timestampUs);
    }
    default:
      follow(host, source, payload, receivedUs);
      return data(host, source, payload, receivedUs);
  }
}

function nodeBirth(host: Host, source: Source, payload: SparkplugPayload): Reading[] {
  const { node, id } = source;
  const bdSeq = payload.metrics.find(({ name }) => name === 'bdSeq')?.value;
  // What its devices said before does not hold any more: their births follow.
  for (const device of [...node.births.keys()]) host.nodes.forget(id, device);
  node.bdSeq = bdSeq?.kind === 'integer' ? String(bdSeq.value) : undefined;
  node.nextSeq = payload.seq === undefined ? undefined : (payload.seq + 1) % 256;
  node.restored = false;
  // It may be asked again at once when something is missing after this.
  node.rebirthAskedUs = Number.NEGATIVE_INFINITY;
  return birth(host, source, payload);
}

function birth(host: Host, source: Source, payload: SparkplugPayload): Reading[] {
  const described = flatten(payload.metrics, '').filter(({ name }) => name !== '' && !isControl(name));
  if (!host.nodes.hasRoom(described.length)) throw new PayloadError('too-many-values');
  const { byName } = host.nodes.born(source.id, source.device, described);
  const readings = described.flatMap((metric) =>
    readMetric(source, byName.get(metric.name), metric, payload),
  );
  return [...readings, online(source, source.device, 1, timeOf(undefined, payload))];
}

function data(host: Host, source: Source, payload: SparkplugPayload, receivedUs: number): Reading[] {
  const birth = source.node.births.get(source.device);
  const readings: Reading[] = [];
  for (const metric of flatten(payload.metrics, '', birth?.byAlias)) {
    if (isControl(metric.name)) continue;
    const known =
      metric.name === ''
        ? birth?.byAlias.get(metric.alias ?? '')
        : (birth?.byName.get(metric.name) ?? unborn(metric));
    if (known === undefined) {
      askRebirth(host, source, 'unknown alias', receivedUs);
      throw new PayloadError('unknown-alias');
    }
    readings.push(...readMetric(source, known, metric, payload));
  }
  return readings;
}

/** A metric with a name that no birth had: it says what it is itself. */
const unborn = ({ name, datatype, unit }: SparkplugMetric): KnownMetric => ({
  name,
  datatype,
  unit,
  elements: 0,
});

/** Looks whether a message is the next one, and asks for a rebirth when it is not. */
function follow(host: Host, source: Source, { seq }: SparkplugPayload, receivedUs: number): void {
  const { node, device, type } = source;
  const expected = node.nextSeq;
  node.nextSeq = seq === undefined ? undefined : (seq + 1) % 256;
  const isAlive = (of: string): boolean => node.births.get(of)?.alive === true;
  if (!isAlive('') || (type === 'DDATA' && !isAlive(device)))
    askRebirth(host, source, 'no birth', receivedUs);
  else if (expected !== undefined && seq !== expected) askRebirth(host, source, 'gap', receivedUs);
  else if (node.restored) askRebirth(host, source, 'restart', receivedUs);
}

function askRebirth(host: Host, { node, group, edge }: Source, why: RebirthReason, receivedUs: number): void {
  if (receivedUs - node.rebirthAskedUs < host.rebirthIntervalMs * 1000) return;
  node.rebirthAskedUs = receivedUs;
  host.askRebirth(group, edge, why);
}

/** Ends the session that its bdSeq names; the will of an earlier one may come late. */
function nodeDeath(source: Source, payload: SparkplugPayload, receivedUs: number): Reading[] {
  const { node } = source;
  const value = payload.metrics.find(({ name }) => name === 'bdSeq')?.value;
  const bdSeq = value?.kind === 'integer' ? String(value.value) : undefined;
  if (node.bdSeq !== undefined && bdSeq !== node.bdSeq) return [];
  node.nextSeq = undefined;
  return [...node.births.keys()].flatMap((device) => die(source, device, receivedUs));
}

/** Marks all metrics of a device as stale. */
function die(source: Source, device: string, timestampUs: number): Reading[] {
  const birth = source.node.births.get(device);
  if (birth?.alive !== true) return [];
  birth.alive = false;
  const known = [...birth.byName.values()];
  const from = { ...source, device };
  const readings = known.flatMap((metric) => {
    const indexes =
      metric.elements === 0 ? [undefined] : Array.from({ length: metric.elements }, (_, index) => index);
    return indexes.map((index) => numberOf(from, metric, index, timestampUs));
  });
  return [...readings, online(source, device, 0, timestampUs)];
}

/** Members of templates as metrics of their own, `template/member`; definitions are left out. */
function flatten(
  metrics: readonly SparkplugMetric[],
  prefix: string,
  byAlias?: ReadonlyMap<string, KnownMetric>,
): SparkplugMetric[] {
  return metrics.flatMap((metric) => {
    const own = metric.name === '' ? (byAlias?.get(metric.alias ?? '')?.name ?? '') : prefix + metric.name;
    const name = own === '' ? metric.name : own;
    if (metric.value?.kind !== 'template') return [{ ...metric, name }];
    if (metric.value.isDefinition) return [];
    // Kept with its alias, by which data names it.
    const self: SparkplugMetric = { ...metric, name, value: undefined };
    return [self, ...flatten(metric.value.metrics, `${name}/`, byAlias)];
  });
}

const isControl = (name: string): boolean => name === 'bdSeq' || /^(?:Node|Device) Control\//.test(name);

function readMetric(
  source: Source,
  known: KnownMetric | undefined,
  metric: SparkplugMetric,
  payload: SparkplugPayload,
): Reading[] {
  if (known === undefined) return [];
  const timestampUs = timeOf(metric.timestampMs, payload);
  if (metric.isNull) return [numberOf(source, known, undefined, timestampUs)];
  const datatype = metric.datatype || known.datatype;
  const value = metric.value === undefined ? undefined : sparkplugValue(metric.value, datatype);
  if (value === undefined) return [];
  if (value.kind === 'number') return [numberOf(source, known, undefined, timestampUs, value.value)];
  if (value.kind === 'text') return value.text === '' ? [] : [lineOf(source, known, timestampUs, value.text)];
  known.elements = Math.max(known.elements, value.values.length);
  return value.values.map((each, index) => numberOf(source, known, index, timestampUs, each));
}

function timeOf(ownMs: number | undefined, { timestampMs }: SparkplugPayload): number | undefined {
  const ms = ownMs ?? timestampMs;
  return ms === undefined ? undefined : ms * 1000;
}

const labelsOf = ({ group, edge }: Source, device: string): Label[] => [
  ['group', group],
  ['edge_node', edge],
  ['device', device],
];

const keyOf = (kind: string, { id }: Source, device: string, name: string): string =>
  `s${kind}${id.length} ${id}${device.length} ${device}${name}`;

/** Without a value it is a stale marker. */
function numberOf(
  source: Source,
  { name, unit }: KnownMetric,
  index: number | undefined,
  timestampUs: number | undefined,
  value?: number,
): Reading {
  const element: Label[] = index === undefined ? [] : [['index', String(index)]];
  return {
    kind: 'value',
    key: keyOf(`m${index ?? ''}`, source, source.device, name),
    labels: () => [
      ...labelsOf(source, source.device),
      ...element,
      ['metric', name],
      ['__name__', metricName(name)],
    ],
    timestampUs,
    value: value ?? Number.NaN,
    about: unit === '' ? undefined : { name: metricName(name), type: 'gauge', help: '', unit },
    stale: value === undefined,
  };
}

function lineOf(
  source: Source,
  { name }: KnownMetric,
  timestampUs: number | undefined,
  line: string,
): Reading {
  return {
    ...{ kind: 'line', line, timestampUs, severity: '' },
    key: keyOf('l', source, source.device, name),
    labels: () => [...labelsOf(source, source.device), ['metric', name], ['source', 'sparkplug']],
  };
}

/** Whether the node or the device is alive. */
function online(source: Source, device: string, value: 0 | 1, timestampUs: number | undefined): Reading {
  return {
    ...{ kind: 'value', value, timestampUs, about: undefined },
    key: keyOf('o', source, device, ''),
    labels: () => [...labelsOf(source, device), ['__name__', 'sparkplug_online']],
  };
}
