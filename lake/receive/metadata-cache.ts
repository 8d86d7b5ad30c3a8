import type { MetricMetadata } from '../model/batch.ts';

/** Remembers which descriptions of metrics are stored, because senders repeat them with every request. */
export interface MetadataCache {
  /** Those that are not known to be stored as they are. */
  news(entries: readonly MetricMetadata[]): readonly MetricMetadata[];
  /** To be called when they are on disk. */
  markDurable(entries: readonly MetricMetadata[]): void;
}

const metricsMax = 50_000;

export function createMetadataCache(): MetadataCache {
  const stored = new Map<string, string>();
  return {
    news: (entries) =>
      entries.length === 0 ? entries : entries.filter((entry) => stored.get(entry.name) !== textOf(entry)),
    markDurable: (entries) => {
      if (stored.size + entries.length > metricsMax) stored.clear();
      for (const entry of entries) stored.set(entry.name, textOf(entry));
    },
  };
}

const textOf = ({ type, help, unit }: MetricMetadata): string => `${type}\0${unit}\0${help}`;
