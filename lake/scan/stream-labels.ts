const labelTexts = new Map<string, ReadonlyMap<string, string>>();
const labelTextsMax = 100_000;

/** Labels of a stream from its canonical text; the same text gives the same map. */
export function labelsOf(json: string): ReadonlyMap<string, string> {
  const known = labelTexts.get(json);
  if (known !== undefined) return known;
  const labels = new Map(Object.entries(JSON.parse(json) as Record<string, string>));
  if (labelTexts.size >= labelTextsMax) labelTexts.clear();
  labelTexts.set(json, labels);
  return labels;
}
