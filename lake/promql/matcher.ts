import type { Matcher } from './ast.ts';
import { execAll } from './bounded-match.ts';
import { compileRegexp } from './regexp.ts';

/** Whether a label value ('' when the label is absent) satisfies a matcher. Compiles regular expressions each time. */
export function matches(matcher: Matcher, value: string): boolean {
  return valueTest(matcher)(value);
}

/** A matcher as a test of label values, compiled once. */
export function valueTest({ op, value: wanted }: Matcher): (value: string) => boolean {
  switch (op) {
    case '=':
      return (value) => value === wanted;
    case '!=':
      return (value) => value !== wanted;
    case '=~': {
      const pattern = compileRegexp(wanted);
      return (value) => pattern.test(value);
    }
    case '!~': {
      const pattern = compileRegexp(wanted);
      return (value) => !pattern.test(value);
    }
  }
}

/** Those of the values that satisfy every matcher; safe for values that come from stored labels. */
export function matchingValues(matchers: readonly Matcher[], values: readonly string[]): ReadonlySet<string> {
  let left = values;
  for (const matcher of matchers) {
    const { op } = matcher;
    if (op === '=' || op === '!=') left = left.filter(valueTest(matcher));
    else {
      const found = execAll(compileRegexp(matcher.value), left);
      left = left.filter((_, index) => (found[index] !== null) === (op === '=~'));
    }
  }
  return new Set(left);
}
