import { labelsJson } from '../../model/labels.ts';
import { type FoundSeries, type SeriesRequest, unpackPaths } from '../evaluation-messages.ts';
import type { FileIndex, GroupIndex } from './file-index.ts';
import type { Pause } from './locate.ts';
import type { SeriesFiles } from './series-files.ts';
import { yes } from './series-table.ts';

/** Looks into the indexes of files; samples are read only of row groups that are partly outside of the time. */
export async function findSeries(
  store: SeriesFiles,
  { paths, matcherSets, fromMs = -Infinity, toMs = Infinity, wanted }: SeriesRequest,
  pause: Pause,
): Promise<FoundSeries> {
  const { table } = store;
  const unsupported: string[] = [];
  const groups: [FileIndex, GroupIndex][] = [];
  for (const path of unpackPaths(paths)) {
    const index = store.index(path);
    if (index === undefined) unsupported.push(path);
    else
      for (const group of index.groups)
        if (group.lastMs >= fromMs && group.firstMs <= toMs) groups.push([index, group]);
    await pause();
  }
  const wantedSeries = missingOf(
    matcherSets.map((matchers) => table.verdicts(matchers)),
    table.end,
  );
  const isWhole = ({ firstMs, lastMs }: GroupIndex): boolean => firstMs >= fromMs && lastMs <= toMs;
  // First those of which no sample has to be looked at; mostly one of them has all the series.
  const whole = groups.filter(([, group]) => isWhole(group));
  const cut = groups.filter(([, group]) => !isWhole(group));
  for (const [index, group] of [...whole, ...cut]) {
    if (wantedSeries.missing === 0) break;
    const has = isWhole(group)
      ? undefined
      : (run: number) => hasSamples(store, index, group, run, fromMs, toMs);
    tick(wantedSeries, group, has);
    store.trimSamples();
    await pause();
  }
  const { byNumber } = wantedSeries;
  const texts = new Set<string>();
  for (let number = 0; number < byNumber.length; number++) {
    if (byNumber[number] !== found) continue;
    const labels = table.labelsOf(number);
    if (wanted.kind === 'labels') texts.add(labelsJson(labels));
    else
      for (const label of labels)
        if (wanted.kind === 'names') texts.add(label[0]);
        else if (label[0] === wanted.label) texts.add(label[1]);
  }
  return { texts: [...texts], unsupported };
}

/** Which series are looked for, by their numbers, and how many of them have not been found. */
interface Wanted {
  readonly byNumber: Uint8Array;
  missing: number;
}

const sought = 1;
const found = 2;

/** All series that satisfy one of the sets of matchers; without sets all. */
function missingOf(verdicts: readonly Uint8Array[], end: number): Wanted {
  const byNumber = new Uint8Array(end);
  let missing = 0;
  for (let number = 0; number < end; number++) {
    if (verdicts.length > 0 && !verdicts.some((one) => one[number] === yes)) continue;
    byNumber[number] = sought;
    missing++;
  }
  return { byNumber, missing };
}

/** Finds series in a group; without `has` all of its runs count. */
function tick(wanted: Wanted, { series }: GroupIndex, has?: (run: number) => boolean): void {
  const { byNumber } = wanted;
  for (let run = 0; run < series.length; run++) {
    const number = series[run] ?? 0;
    if (byNumber[number] !== sought || (has && !has(run))) continue;
    byNumber[number] = found;
    wanted.missing--;
  }
}

function hasSamples(
  store: SeriesFiles,
  index: FileIndex,
  group: GroupIndex,
  run: number,
  fromMs: number,
  toMs: number,
): boolean {
  const { times, timesOf, baseMs } = store.samples(index, group);
  const first = timesOf[run] ?? 0;
  const end = first + (group.starts[run + 1] ?? 0) - (group.starts[run] ?? 0);
  for (let at = first; at < end; at++) {
    const ms = (times[at] ?? 0) + baseMs;
    if (ms >= fromMs && ms <= toMs) return true;
  }
  return false;
}
