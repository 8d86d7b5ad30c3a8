// Drain (He et al., 2017): lines are split into words and led down a tree by how many words they have and by their first
// ones; where they arrive they join the most similar template, whose differing words become `<_>`.

interface Cluster {
  readonly words: string[];
  readonly separators: readonly string[];
  size: number;
}

export interface Drain {
  /** The cluster that the line belongs to; undefined for a line that says nothing. */
  add(line: string): Cluster | undefined;
  clusters(): readonly Cluster[];
  pattern(cluster: Cluster): string;
}

const depth = 3;
const similarityMin = 0.4;
const childrenMax = 100;
const clustersMax = 1000;
const wordsMax = 100;
const wildcard = '<_>';

/** What varies from line to line whatever the template: numbers, addresses, ids, times. */
const variable =
  /^(?:[-+]?[\d.,:]*\d[\d.,:]*[a-zA-Zµ%]{0,3}|0x[\da-fA-F]+|[\da-fA-F]{8,}|[\da-fA-F]{8}-[\da-fA-F-]{27}|\d{4}-\d{2}-\d{2}[T\d:.,Z+-]*)$/;

export function createDrain(): Drain {
  const leaves = new Map<string, Cluster[]>();
  const children = new Map<string, Set<string>>();
  const clusters: Cluster[] = [];
  return {
    add: (line) => {
      const { words, separators } = split(line);
      if (words.length === 0) return undefined;
      const leaf = leafOf(words, children);
      const here = leaves.get(leaf) ?? [];
      leaves.set(leaf, here);
      const best = mostSimilar(here, words);
      if (best !== undefined) {
        best.size++;
        words.forEach((word, index) => {
          if (best.words[index] !== word) best.words[index] = wildcard;
        });
        return best;
      }
      if (clusters.length >= clustersMax) return undefined;
      const cluster = { words, separators, size: 1 };
      here.push(cluster);
      clusters.push(cluster);
      return cluster;
    },
    clusters: () => clusters,
    pattern: ({ words, separators }) =>
      words
        .map((word, index) => (separators[index] ?? '') + word)
        .join('')
        .concat(separators[words.length] ?? '')
        .replaceAll(/(?:<_>)(?:<_>)+/g, wildcard),
  };
}

/** Words, and what stands before each and behind the last. */
function split(line: string): { words: string[]; separators: string[] } {
  const words: string[] = [];
  const separators: string[] = [];
  let at = 0;
  for (const match of line.matchAll(/[^\s=,;"'()[\]{}|]+/g)) {
    separators.push(line.slice(at, match.index));
    words.push(variable.test(match[0]) ? wildcard : match[0]);
    at = match.index + match[0].length;
    if (words.length === wordsMax) {
      words.push(wildcard);
      separators.push(' ');
      return { words, separators };
    }
  }
  separators.push(line.slice(at));
  return { words, separators };
}

function leafOf(words: readonly string[], children: Map<string, Set<string>>): string {
  let path = String(words.length);
  for (const word of words.slice(0, depth)) {
    const known = children.get(path) ?? new Set();
    children.set(path, known);
    const step =
      word === wildcard || /\d/.test(word) || (!known.has(word) && known.size >= childrenMax)
        ? wildcard
        : word;
    known.add(step);
    path += `\u0000${step}`;
  }
  return path;
}

function mostSimilar(clusters: readonly Cluster[], words: readonly string[]): Cluster | undefined {
  let best: Cluster | undefined;
  let bestShare = similarityMin;
  for (const cluster of clusters) {
    let same = 0;
    words.forEach((word, index) => {
      if (cluster.words[index] === word) same++;
    });
    const share = same / words.length;
    if (share < bestShare) continue;
    best = cluster;
    bestShare = share;
  }
  return best;
}
