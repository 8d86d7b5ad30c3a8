import { labelsJson } from '../../model/labels.ts';
import type { FoundSeries, SeriesRequest } from '../evaluation-messages.ts';
import type { FileIndex, GroupIndex } from './file-index.ts';
import type { Pause } from './locate.ts';
import type { SeriesFiles } from './series-files.ts';
import { yes } from './series-table.ts';

/** Looks into the indexes of files; samples are read only of row groups that are partly outside of the time. */
export async function findSeries(
  store: SeriesFiles,
  { files, matcherSets, fromMs = -Infinity, toMs = Infinity, wanted }: SeriesRequest,
  pause: Pause,
): Promise<FoundSeries> {
  const { table } = store;
  const unsupported: string[] = [];
  const groups: [FileIndex, GroupIndex][] = [];
  for (const file of files) {
    const index = store.index(file);
    if (index === undefined) unsupported.push(file.path);
    else
      for (const group of index.groups)
        if (group.lastMs >= fromMs && group.firstMs <= toMs) groups.push([index, group]);
    await pause();
  }
  const verdicts = matcherSets.map((matchers) => table.verdicts(matchers));
  const matching = (number: number): boolean =>
    verdicts.length === 0 || verdicts.some((one) => one[number] === yes);
  const found = new Uint8Array(table.end);
  for (const [index, group] of groups) {
    const whole = group.firstMs >= fromMs && group.lastMs <= toMs;
    for (let run = 0; run < group.series.length; run++) {
      const number = group.series[run] ?? 0;
      if (found[number] === 1 || !matching(number)) continue;
      if (whole || hasSamples(store, index, group, run, fromMs, toMs)) found[number] = 1;
    }
    store.trimSamples();
    await pause();
  }
  const texts = new Set<string>();
  for (let number = 0; number < found.length; number++) {
    if (found[number] !== 1) continue;
    const labels = table.labelsOf(number);
    if (wanted.kind === 'labels') texts.add(labelsJson(labels));
    else
      for (const [name, value] of labels)
        if (wanted.kind === 'names') texts.add(name);
        else if (name === wanted.label) texts.add(value);
  }
  return { texts: [...texts], unsupported };
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
