const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const infinity = /^[+-]?inf(?:inity)?$/i;

/** A float as both formats have it (Go's, without hexadecimal ones and `_`); undefined when it is none. */
export function parseFloat64(text: string): number | undefined {
  if (decimal.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  if (infinity.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return /^nan$/i.test(text) ? Number.NaN : undefined;
}

/** The shortest text that reads back, with a point or an exponent in it; for bounds of buckets and quantiles. */
export function openMetricsFloat(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  // Go's format 'g': an exponent of two digits at least, from 1e21 and below 1e-4.
  const exponential = size !== 0 && (size < 1e-4 || size >= 1e21);
  const text = exponential ? value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2') : printZero(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

const printZero = (value: number): string => (Object.is(value, -0) ? '-0' : String(value));
