import type { Duration, Span } from './ast.ts';
import { executionError } from './errors.ts';
import { fmod } from './numbers.ts';
import type { QueryTimes } from './plan.ts';

/** Whole milliseconds; throws PromqlError `execution` for what is no duration, or a negative one unless it may be. */
export function durationMs(query: QueryTimes, duration: Duration, negative: boolean): number {
  if (duration.kind === 'seconds') return Math.round(duration.value * 1000);
  const seconds = durationSeconds(query, duration);
  const { start, end } = duration.span;
  if (!Number.isFinite(seconds)) throw executionError(`${start}:${end}: duration is NaN or infinite`);
  if (seconds <= 0 && !negative) throw executionError(`${start}:${end}: duration must be greater than 0`);
  if (Math.abs(seconds) > 2 ** 63 / 1e9) throw executionError(`${start}:${end}: duration is out of range`);
  return Math.trunc(seconds * 1000);
}

function durationSeconds(query: QueryTimes, duration: Duration): number {
  const value = (inner: Duration): number => durationSeconds(query, inner);
  switch (duration.kind) {
    case 'seconds':
      return duration.value;
    case 'step':
      return query.stepMs / 1000;
    case 'range':
      return (query.endMs - query.startMs) / 1000;
    case 'min_of':
      return Math.min(value(duration.left), value(duration.right));
    case 'max_of':
      return Math.max(value(duration.left), value(duration.right));
    case 'negative':
      return -value(duration.input);
    case 'group':
      return value(duration.input);
    case 'arithmetic':
      return durationArithmetic(duration.op, value(duration.left), value(duration.right), duration.span);
  }
}

function durationArithmetic(op: string, left: number, right: number, { start, end }: Span): number {
  if (right === 0 && op === '/') throw executionError(`${start}:${end}: division by zero`);
  if (right === 0 && op === '%') throw executionError(`${start}:${end}: modulo by zero`);
  switch (op) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      return fmod(left, right);
    default:
      return left ** right;
  }
}
