type LabelsOf = (ids: Iterable<bigint>) => Map<bigint, string>;

/** Characters of labels that are remembered; when there are more, it begins anew. */
const charsMax = 4 * 1024 * 1024;

/** Remembers labels between seals: the same series come again, and each look into the log takes microseconds. */
export function createLabelsCache(labelsOf: LabelsOf): LabelsOf {
  const known = new Map<bigint, string>();
  let chars = 0;
  return (ids) => {
    const found = new Map<bigint, string>();
    const unknown: bigint[] = [];
    for (const id of ids) {
      const labels = known.get(id);
      if (labels === undefined) unknown.push(id);
      else found.set(id, labels);
    }
    for (const [id, labels] of labelsOf(unknown)) {
      if (chars + labels.length > charsMax) {
        known.clear();
        chars = 0;
      }
      found.set(id, labels);
      known.set(id, labels);
      chars += labels.length;
    }
    return found;
  };
}
