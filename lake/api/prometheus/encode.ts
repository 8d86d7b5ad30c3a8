import { sampleText, timestampText } from '../../base/number-text.ts';
import type { Labels } from '../../model/labels.ts';
import type { Histogram } from '../../promql/histograms/histogram.ts';
import { jsonBuckets } from '../../promql/histograms/print.ts';
import type { ResultData } from '../../promql/result.ts';
import type { SeriesData } from '../../promql/source.ts';

// The JSON of Prometheus' HTTP API, in pieces, so that a large answer is never one string.

/** A label set as a JSON object. Not by JSON.stringify of an object, which would reorder names like `10`. */
export function labelsText(labels: Labels): string {
  return `{${labels.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
}

const sample = (timestampMs: number, value: number): string =>
  `[${timestampText(timestampMs)},"${sampleText(value)}"]`;

/** `resultType` and `result` of a query's answer, in that order, without the braces around them. */
export function* resultPieces(data: ResultData): Generator<string> {
  switch (data.type) {
    case 'scalar':
      yield `"resultType":"scalar","result":${sample(data.timestampMs, data.value)}`;
      return;
    case 'string':
      yield `"resultType":"string","result":[${timestampText(data.timestampMs)},${JSON.stringify(data.value)}]`;
      return;
    case 'vector':
      yield '"resultType":"vector","result":[';
      yield* vectorTexts(data);
      yield ']';
      return;
    case 'matrix':
      yield '"resultType":"matrix","result":[';
      yield* matrixTexts(data);
      yield ']';
  }
}

function* vectorTexts({ samples, timestampMs }: ResultData & { type: 'vector' }): Generator<string> {
  let comma = '';
  for (const { labels, value, histogram } of samples) {
    const text = histogram
      ? `"histogram":${histogramSample(timestampMs, histogram)}`
      : `"value":${sample(timestampMs, value)}`;
    yield `${comma}{"metric":${labelsText(labels)},${text}}`;
    comma = ',';
  }
}

function histogramSample(timestampMs: number, histogram: Histogram): string {
  const { count, sum } = histogram;
  const buckets = jsonBuckets(histogram)
    .map(([rule, ...numbers]) => `[${rule},${numbers.map((number) => `"${sampleText(number)}"`).join()}]`)
    .join();
  const list = buckets === '' ? '' : `,"buckets":[${buckets}]`;
  return `[${timestampText(timestampMs)},{"count":"${sampleText(count)}","sum":"${sampleText(sum)}"${list}}]`;
}

function* matrixTexts({ series }: ResultData & { type: 'matrix' }): Generator<string> {
  let comma = '';
  const openings = createOpenings();
  for (const one of series) {
    yield comma + seriesText(one, openings);
    comma = ',';
  }
}

/** How the samples at a place of series begin, behind another sample of the same series. */
type Openings = (index: number, timestampMs: number) => string;

/** Most series of an answer have the same times, whose texts are made once. */
function createOpenings(): Openings {
  const timesMs: number[] = [];
  const texts: string[] = [];
  return (index, timestampMs) => {
    const known = texts[index];
    if (known !== undefined && timesMs[index] === timestampMs) return known;
    const text = `"],[${timestampText(timestampMs)},"`;
    timesMs[index] = timestampMs;
    texts[index] = text;
    return text;
  };
}

/** One text: handing on each sample would cost more than making it. */
function seriesText({ labels, timestampsMs, values, histograms }: SeriesData, openings: Openings): string {
  let text = `{"metric":${labelsText(labels)}`;
  let samples = 0;
  for (let index = 0; index < values.length; index++) {
    if (histograms?.[index]) continue;
    const opening = openings(samples, timestampsMs[index] ?? 0);
    text += (samples === 0 ? `,"values":[${opening.slice(3)}` : opening) + sampleText(values[index] ?? 0);
    samples++;
  }
  if (samples > 0) text += '"]]';
  let before = ',"histograms":[';
  for (const [index, histogram] of histograms?.entries() ?? []) {
    if (histogram === undefined) continue;
    text += before + histogramSample(timestampsMs[index] ?? 0, histogram);
    before = ',';
  }
  return before === ',' ? `${text}]}` : `${text}}`;
}
