import { type ByteTable, createByteTable } from '../base/byte-table.ts';
import type { SeriesEntry } from '../model/batch.ts';
import { canonicalLabels, type Labels, labelsJson, withIdentity } from '../model/labels.ts';
import { seriesId } from '../model/series-id.ts';
import { checkLabelLimits, type LabelLimits, labelLimits } from './label-limits.ts';
import { noGuard, type SeriesGuard } from './series-guard.ts';

/**
 * Finds the series of a sample without making strings: by the label bytes as they came, or by a text key. Keeps two
 * generations: when the young one is full it becomes the old one, and what is not asked for until the next turn is
 * forgotten. Nothing depends on an entry being kept; a series that was forgotten is only looked at again.
 *
 * All receivers find their series here, so here are the limits that they share. Labels beyond them, and new series
 * beyond the guard's (`isSeriesRefusal`), are FirnError `limit`.
 */
export interface SeriesCache {
  /** The series whose label bytes are exactly bytes[start, end), if known. */
  find(bytes: Uint8Array, start: number, end: number): CachedSeries | undefined;
  /** Remembers these label bytes. `labels` are the sender's; identity labels are added here. */
  add(bytes: Uint8Array, start: number, end: number, labels: Labels): CachedSeries;
  /**
   * The series behind a text key; `labels` is called when it is not known. These labels are the gateway's own (from its
   * configuration), so one that is named like an identity label stands instead of it: `{site}` in a topic template.
   * `own`: it is about the gateway itself, and never refused.
   */
  ofKey(key: string, labels: () => Labels, own?: 'own'): CachedSeries;
  /** To be called when a batch with these entries is on disk: they need not go with later batches. */
  markDurable(entries: readonly SeriesEntry[]): void;
  readonly size: number;
}

/** A series id in two signed halves, as columns take it, and what a batch must carry until it is durable. */
export interface CachedSeries {
  readonly idLow: number;
  readonly idHigh: number;
  pending: SeriesEntry | undefined;
  /** The guard's turn in which it was admitted last. */
  turn: number;
}

export interface SeriesCacheOptions {
  /** Labels that every series gets, for example site and gateway; may be empty. */
  readonly identity: Labels;
  readonly guard?: SeriesGuard;
  readonly limits?: LabelLimits;
  /** Series remembered, in each generation. */
  readonly cachedSeriesMax?: number;
  /** Label bytes and key characters remembered, in each generation. */
  readonly cachedKeyBytesMax?: number;
}

const seriesCacheDefaults = {
  cachedSeriesMax: 200_000,
  cachedKeyBytesMax: 64 * 1024 * 1024,
} as const;

interface Generation {
  readonly byBytes: ByteTable;
  readonly byBytesSeries: CachedSeries[];
  readonly byKey: Map<string, CachedSeries>;
  keyCharacters: number;
}

const createGeneration = (): Generation => ({
  byBytes: createByteTable(),
  byBytesSeries: [],
  byKey: new Map(),
  keyCharacters: 0,
});

const sizeOf = ({ byBytes, byKey }: Generation): number => byBytes.size + byKey.size;

/** From labels to series: one object a series while it is in no durable batch. */
function createResolver(pendingMax: number, guard: SeriesGuard) {
  /** Series that are in no durable batch yet; the same object under all of its keys. */
  const pending = new Map<bigint, CachedSeries>();
  const resolve = (labels: Labels): CachedSeries => {
    const text = labelsJson(labels);
    const id = seriesId(text);
    const known = pending.get(id);
    if (known !== undefined) return known;
    // While nothing becomes durable (a full disk) this map must not grow without bound either. Series that leave it
    // stay pending and go with each of their batches, which does no harm.
    if (pending.size >= pendingMax) pending.clear();
    const series = {
      idLow: Number(BigInt.asIntN(32, id)),
      idHigh: Number(id >> 32n),
      pending: { id, labels: text },
      turn: -1,
    };
    pending.set(id, series);
    return series;
  };
  const admitted = (series: CachedSeries): CachedSeries => {
    if (series.turn === guard.turn) return series;
    guard.admit(series.idLow, series.idHigh);
    series.turn = guard.turn;
    return series;
  };
  return {
    resolve,
    admitted,
    resolveAdmitted: (labels: Labels): CachedSeries => {
      const series = resolve(labels);
      try {
        return admitted(series);
      } catch (error) {
        pending.delete(series.pending?.id ?? 0n);
        throw error;
      }
    },
    markDurable: (entries: readonly SeriesEntry[]): void => {
      for (const { id } of entries) {
        const series = pending.get(id);
        if (series === undefined) continue;
        series.pending = undefined;
        pending.delete(id);
      }
    },
  };
}

export function createSeriesCache(options: SeriesCacheOptions): SeriesCache {
  const { identity, cachedSeriesMax, cachedKeyBytesMax } = { ...seriesCacheDefaults, ...options };
  const { guard = noGuard, limits = labelLimits } = options;
  const { resolve, admitted, resolveAdmitted, markDurable } = createResolver(cachedSeriesMax, guard);
  let young = createGeneration();
  let old = createGeneration();

  const makeRoom = (keyBytes: number): void => {
    const used = young.byBytes.keyBytes + young.keyCharacters;
    if (sizeOf(young) < cachedSeriesMax && used + keyBytes <= cachedKeyBytesMax) return;
    old = young;
    young = createGeneration();
  };
  const remember = (bytes: Uint8Array, start: number, end: number, series: CachedSeries): CachedSeries => {
    makeRoom(end - start);
    young.byBytesSeries[young.byBytes.insert(bytes, start, end)] = series;
    return series;
  };
  const rememberKey = (key: string, series: CachedSeries): CachedSeries => {
    makeRoom(key.length);
    young.byKey.set(key, series);
    young.keyCharacters += key.length;
    return series;
  };

  return {
    find: (bytes, start, end) => {
      const index = young.byBytes.find(bytes, start, end);
      const known = index >= 0 ? young.byBytesSeries[index] : undefined;
      if (known !== undefined) return known.turn === guard.turn ? known : admitted(known);
      const older = old.byBytesSeries[old.byBytes.find(bytes, start, end)];
      return older && remember(bytes, start, end, admitted(older));
    },
    add: (bytes, start, end, labels) => {
      checkLabelLimits(labels, limits);
      return remember(bytes, start, end, resolveAdmitted(withIdentity(labels, identity)));
    },
    ofKey: (key, labels, own) => {
      const known = young.byKey.get(key) ?? old.byKey.get(key);
      if (known === undefined) {
        const given = labels();
        checkLabelLimits(given, limits);
        const all = canonicalLabels([...identity, ...given]);
        return rememberKey(key, own === undefined ? resolveAdmitted(all) : resolve(all));
      }
      if (own === undefined) admitted(known);
      return young.byKey.has(key) ? known : rememberKey(key, known);
    },
    markDurable,
    get size() {
      return sizeOf(young) + sizeOf(old);
    },
  };
}
