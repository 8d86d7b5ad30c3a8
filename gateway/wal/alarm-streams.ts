import { parseLabelsJson } from '../../lake/model/labels.ts';
import { selectorMatchers } from '../../lake/promql/ast.ts';
import { valueTest } from '../../lake/promql/matcher.ts';
import { parseSelector } from '../../lake/promql/parse-selector.ts';

/**
 * Whether a stream with these labels (canonical JSON) is an alarm: it matches one of the selectors. Throws an Error
 * worded like Prometheus for a selector that is none.
 */
export function alarmTest(selectors: readonly string[]): (labelsJson: string) => boolean {
  const tests = selectors.map((selector) =>
    selectorMatchers(parseSelector(selector)).map((matcher) => [matcher.label, valueTest(matcher)] as const),
  );
  if (tests.length === 0) return () => false;
  return (labelsJson) => {
    const labels = new Map(parseLabelsJson(labelsJson));
    return tests.some((matchers) => matchers.every(([label, test]) => test(labels.get(label) ?? '')));
  };
}
