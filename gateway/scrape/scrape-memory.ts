import { FirnError } from '../../lake/base/errors.ts';
import type { MetricMetadata } from '../../lake/model/batch.ts';
import { type Labels, labelsJson } from '../../lake/model/labels.ts';
import type { ExpositionFormat } from '../../lake/receive/exposition/cursor.ts';
import { type ExposedSample, parseExposition } from '../../lake/receive/exposition/parse.ts';
import { compileRelabel } from './relabel.ts';
import { nameSeries, type SeriesNaming } from './series-labels.ts';
import type { Target } from './targets.ts';

/** One row that a scrape becomes. */
export interface ScrapedRow {
  /** Canonical JSON text of the labels. */
  readonly json: string;
  readonly timestampMs: number;
  /** `stale`: the marker that the series has ended. */
  readonly value: number | 'stale';
  readonly startMs: number | undefined;
  readonly exemplar: ScrapedExemplar | undefined;
}

interface ScrapedExemplar {
  readonly labels: Labels;
  readonly value: number;
  readonly timestampMs: number;
}

export interface Scraped {
  readonly rows: readonly ScrapedRow[];
  readonly metadata: readonly MetricMetadata[];
  readonly samplesScraped: number;
  readonly samplesAfterRelabelling: number;
  readonly seriesAdded: number;
}

/** What is remembered of a target between scrapes: how its series are called, and which there were the last time. */
export interface ScrapeMemory {
  /** Rows of a scrape, and markers of series that are gone. Throws when it can't be taken; then `end` is to be asked. */
  read(text: string, format: ExpositionFormat, atMs: number): Scraped;
  /** The scrape failed, or the target is gone: a marker for each series. */
  end(atMs: number): ScrapedRow[];
  /** Series that the target has now. */
  readonly live: number;
}

interface Known {
  readonly json: string;
  readonly startKey: string | undefined;
  readonly isCreated: boolean;
  /** The scrape that it was seen in last, and its time there, NaN when it came without one. */
  seen: number;
  seenAtMs: number;
  /** Of the exemplar that came last: exporters repeat them until there is a newer one. */
  exemplar: string;
}

type Row = { readonly known: Known; readonly sample: ExposedSample; readonly timestampMs: number };

/** The sum of names and values; more is not stored (OpenMetrics 1.0, exemplars). */
const exemplarCharactersMax = 128;

type Gateway = Pick<SeriesNaming, 'identityNames' | 'limits'>;

export function createScrapeMemory(target: Target, gateway: Gateway): ScrapeMemory {
  const { config } = target;
  const table = createSeriesTable(target, gateway);
  const news = createDescriptions();
  const tracksTimes = !config.honor_timestamps || config.track_timestamps_staleness;
  let live = new Set<Known>();
  let turn = 0;

  const read: ScrapeMemory['read'] = (text, format, atMs) => {
    turn++;
    const families = new Map<string, MetricMetadata>();
    const rows: Row[] = [];
    let samplesScraped = 0;
    let kept = 0;
    parseExposition(text, format, {
      sample: (series, sample, type) => {
        samplesScraped++;
        const known = table.find(series, format, type);
        if (known === null) return;
        kept++;
        if (config.sample_limit > 0 && kept > config.sample_limit) throw overLimit(config.sample_limit);
        const own = config.honor_timestamps ? sample.timestampMs : undefined;
        // Twice in one exposition: the first one stands, as in Prometheus.
        if (known.seen === turn && Object.is(known.seenAtMs, own ?? Number.NaN)) return;
        known.seen = turn;
        known.seenAtMs = own ?? Number.NaN;
        rows.push({ known, sample, timestampMs: own ?? atMs });
      },
      describe: (name, field, words) => {
        const family = families.get(name) ?? { name, type: 'unknown', help: '', unit: '' };
        families.set(name, { ...family, [field]: words });
      },
    });
    const before = live;
    live = new Set(
      rows.filter(({ sample }) => sample.timestampMs === undefined || tracksTimes).map(({ known }) => known),
    );
    const gone = [...before].filter(({ seen }) => seen !== turn);
    table.forget(turn, rows.length);
    return {
      rows: [...rowsOf(rows), ...gone.map(({ json }) => staleRow(json, atMs))],
      metadata: [...families.values()].filter(news),
      samplesScraped,
      samplesAfterRelabelling: kept,
      seriesAdded: [...live].filter((known) => !before.has(known)).length,
    };
  };

  return {
    read,
    end: (atMs) => {
      const ended = [...live].map(({ json }) => staleRow(json, atMs));
      live = new Set();
      return ended;
    },
    get live() {
      return live.size;
    },
  };
}

/** How the series of a target are called, by their text in the exposition; null: relabelling drops it. */
function createSeriesTable(target: Target, gateway: Gateway) {
  const naming = { ...gateway, target, relabel: compileRelabel(target.config.metric_relabel_configs) };
  const byText = new Map<string, Known | null>();
  const byJson = new Map<string, Known>();
  const learn = (series: string, format: ExpositionFormat, type: string): Known | null => {
    const named = nameSeries(series, format, type, naming);
    const known = named && (byJson.get(named.json) ?? { ...named, seen: 0, seenAtMs: 0, exemplar: '' });
    if (known) byJson.set(known.json, known);
    // A copy: a slice would keep the whole exposition in memory.
    byText.set(Buffer.from(series).toString(), known ?? null);
    return known ?? null;
  };
  return {
    find: (series: string, format: ExpositionFormat, type: string): Known | null => {
      const known = byText.get(series);
      return known === undefined ? learn(series, format, type) : known;
    },
    /** Series come and go: what this scrape did not have is forgotten when it is half of all. */
    forget: (turn: number, now: number): void => {
      if (byJson.size <= 2 * now + 100 && byText.size <= 4 * now + 1000) return;
      for (const [text, known] of byText) if (known?.seen !== turn) byText.delete(text);
      for (const [json, known] of byJson) if (known.seen !== turn) byJson.delete(json);
    },
  };
}

/** Whether a description is another one than it was the last time. */
function createDescriptions(): (family: MetricMetadata) => boolean {
  const known = new Map<string, string>();
  return (family) => {
    const words = JSON.stringify(family);
    if (known.get(family.name) === words) return false;
    known.set(family.name, words);
    return true;
  };
}

export const staleRow = (json: string, timestampMs: number): ScrapedRow => ({
  ...{ json, timestampMs, value: 'stale', startMs: undefined, exemplar: undefined },
});

function rowsOf(rows: readonly Row[]): ScrapedRow[] {
  const created = new Map<string, number>();
  for (const { known, sample } of rows)
    if (known.isCreated && known.startKey !== undefined) {
      const startMs = Math.trunc(sample.value * 1000);
      if (startMs > 0 && Number.isSafeInteger(startMs)) created.set(known.startKey, startMs);
    }
  return rows.map(({ known, sample, timestampMs }) => ({
    json: known.json,
    timestampMs,
    value: sample.value,
    startMs: known.startKey === undefined || known.isCreated ? undefined : created.get(known.startKey),
    exemplar: sample.exemplar && newExemplar(known, sample.exemplar, timestampMs),
  }));
}

function newExemplar(
  known: Known,
  { labels, value, timestampMs }: NonNullable<ExposedSample['exemplar']>,
  sampleMs: number,
): ScrapedExemplar | undefined {
  const text = JSON.stringify([labels, String(value), timestampMs]);
  const characters = labels.reduce((sum, [name, word]) => sum + [...name].length + [...word].length, 0);
  if (text === known.exemplar || characters > exemplarCharactersMax) return undefined;
  known.exemplar = text;
  return { labels, value, timestampMs: timestampMs ?? sampleMs };
}

/** The labels of a target's own series, such as `up`, as JSON text. */
export const reportJson = (name: string, target: Target): string =>
  labelsJson([...target.labels, ['__name__', name] as const].sort(([a], [b]) => (a < b ? -1 : 1)));

const overLimit = (max: number): FirnError =>
  new FirnError({
    code: 'limit',
    operation: 'scrape',
    subject: 'sample_limit',
    message: `sample_limit exceeded: more than ${max} samples are left after relabelling`,
  });
