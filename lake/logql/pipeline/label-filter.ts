import { messageOf } from '../../base/errors.ts';
import { compileRe2 } from '../../regexp/re2.ts';
import type { ComparisonOp, LabelFilter, Matcher } from '../ast.ts';
import { parseBytes, parseGoDuration, parseGoFloat } from '../units.ts';
import { ipTest } from './ip.ts';
import { comparedLabel, failLine, hasError, type LabelSet, labelOf } from './row.ts';

/** A matcher as a test of values ('' when the label is absent). Throws an Error with Go's text. */
export function valueTest({ op, value: wanted }: Matcher): (value: string) => boolean {
  if (op === '=') return (value) => value === wanted;
  if (op === '!=') return (value) => value !== wanted;
  const regexp = compileRe2(wanted, true);
  return op === '=~' ? regexp.test : (value) => !regexp.test(value);
}

/**
 * A label filter as a test of a line's labels. A value that cannot be compared is an error of the line, which then
 * stays: whoever asks has to see it, or filter it by __error__.
 */
export function labelTest(filter: LabelFilter): (labels: LabelSet) => boolean {
  switch (filter.kind) {
    case 'text': {
      const test = valueTest(filter.matcher);
      const { label } = filter.matcher;
      return (labels) => test(comparedLabel(labels, label));
    }
    case 'number':
      return compared(filter.label, filter.op, parseGoFloat, filter.value);
    case 'duration':
      return compared(filter.label, filter.op, parseGoDuration, filter.ns);
    case 'bytes':
      return compared(filter.label, filter.op, parseBytes, filter.bytes);
    case 'ip': {
      const test = ipTest(filter.pattern);
      const { label, op } = filter;
      return (labels) => {
        if (hasError(labels)) return true;
        const value = labelOf(labels, label);
        return value !== undefined && test(value) === (op === '=');
      };
    }
    case 'and': {
      const [left, right] = [labelTest(filter.left), labelTest(filter.right)];
      return (labels) => {
        const first = left(labels);
        return right(labels) && first;
      };
    }
    case 'or': {
      const [left, right] = [labelTest(filter.left), labelTest(filter.right)];
      return (labels) => left(labels) || right(labels);
    }
  }
}

function compared(
  label: string,
  op: ComparisonOp,
  read: (text: string) => number,
  wanted: number,
): (labels: LabelSet) => boolean {
  const holds = comparison(op, wanted);
  return (labels) => {
    const text = labelOf(labels, label);
    if (text === undefined) return false;
    try {
      return holds(read(text));
    } catch (cause) {
      // What went wrong before may say more.
      if (!hasError(labels)) failLine(labels, 'LabelFilterErr', messageOf(cause));
      return true;
    }
  };
}

export function comparison(op: ComparisonOp, wanted: number): (value: number) => boolean {
  switch (op) {
    case '==':
      return (value) => value === wanted;
    case '!=':
      return (value) => value !== wanted;
    case '>':
      return (value) => value > wanted;
    case '>=':
      return (value) => value >= wanted;
    case '<':
      return (value) => value < wanted;
    case '<=':
      return (value) => value <= wanted;
  }
}
