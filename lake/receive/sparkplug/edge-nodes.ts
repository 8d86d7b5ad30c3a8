import type { SparkplugMetric } from './payload.ts';

// What is known of the edge nodes: which births they have published, and so what their aliases mean.

/** Keeps births, so that aliases are known after a restart. Keys are those of `birthKey`. */
export interface BirthStore {
  load(): Iterable<readonly [key: string, birth: string]>;
  save(key: string, birth: string): void;
  remove(key: string): void;
}

export const noBirthStore: BirthStore = { load: () => [], save: () => undefined, remove: () => undefined };

export interface KnownMetric {
  readonly name: string;
  readonly datatype: number;
  readonly unit: string;
  /** Of an array, each a series to mark as stale when it dies; 0: it is none. */
  elements: number;
}

/** A device, or the node itself as ''. */
export interface Birth {
  /** False after its death; what its aliases meant is kept until the next birth. */
  alive: boolean;
  readonly byName: Map<string, KnownMetric>;
  readonly byAlias: Map<string, KnownMetric>;
}

export interface EdgeNode {
  readonly births: Map<string, Birth>;
  /** Of its birth, and so of the death that ends it. */
  bdSeq: string | undefined;
  /** Of the next message; undefined when none has come since the start. */
  nextSeq: number | undefined;
  /** Its births are from before our start: newer ones may have been missed. */
  restored: boolean;
  rebirthAskedUs: number;
}

type Kept = readonly [name: string, alias: string | null, datatype: number, unit: string];

const emptyBirth = (): Birth => ({ alive: true, byName: new Map(), byAlias: new Map() });

export function createEdgeNodes(store: BirthStore, metricsMax: number) {
  const nodes = new Map<string, EdgeNode>();
  let metrics = 0;
  const nodeOf = (id: string): EdgeNode => {
    const known = nodes.get(id);
    if (known !== undefined) return known;
    const node: EdgeNode = {
      ...{ births: new Map(), bdSeq: undefined, nextSeq: undefined },
      ...{ restored: false, rebirthAskedUs: Number.NEGATIVE_INFINITY },
    };
    nodes.set(id, node);
    return node;
  };
  const put = (node: EdgeNode, device: string, kept: readonly Kept[]): Birth => {
    const birth = emptyBirth();
    for (const [name, alias, datatype, unit] of kept) {
      const metric: KnownMetric = { name, datatype, unit, elements: 0 };
      birth.byName.set(name, metric);
      if (alias !== null) birth.byAlias.set(alias, metric);
    }
    metrics += birth.byName.size - (node.births.get(device)?.byName.size ?? 0);
    node.births.set(device, birth);
    return birth;
  };
  for (const [key, text] of store.load()) {
    const [group = '', edge = '', device = ''] = key.split('/');
    const node = nodeOf(`${group}/${edge}`);
    const { bdSeq, metrics: kept } = JSON.parse(text) as { bdSeq?: string; metrics: Kept[] };
    node.restored = true;
    if (device === '') node.bdSeq = bdSeq;
    put(node, device, kept);
  }
  return {
    nodeOf,
    hasRoom: (more: number): boolean => metrics + more <= metricsMax,
    /** Remembers a birth in place of the one before. */
    born: (id: string, device: string, described: readonly SparkplugMetric[]): Birth => {
      const node = nodeOf(id);
      const kept = described.map(
        ({ name, alias, datatype, unit }): Kept => [name, alias ?? null, datatype, unit],
      );
      const { bdSeq } = node;
      store.save(keyOf(id, device), JSON.stringify({ ...(device === '' && { bdSeq }), metrics: kept }));
      return put(node, device, kept);
    },
    forget: (id: string, device: string): void => {
      const node = nodeOf(id);
      metrics -= node.births.get(device)?.byName.size ?? 0;
      node.births.delete(device);
      store.remove(keyOf(id, device));
    },
  };
}

const keyOf = (id: string, device: string): string => (device === '' ? id : `${id}/${device}`);
