// Numbers as Prometheus and Loki write them into JSON.

/** A value as its JSON string holds it: shortest digits, an exponent below 1e-6 and from 1e21 on. */
export function sampleText(value: number): string {
  const size = Math.abs(value);
  if (size >= exponentBelow && size < exponentFrom) return String(value);
  if (value === Infinity) return '+Inf';
  if (value === -Infinity) return '-Inf';
  if (Object.is(value, -0)) return '-0';
  // Go writes at least two digits of exponent.
  return String(value).replace(/e([+-])(\d)$/, 'e$10$2');
}

const exponentBelow = 1e-6;
const exponentFrom = 1e21;

/** Seconds with three decimals, or with none when they are whole. */
export function timestampText(timestampMs: number): string {
  const whole = Math.trunc(timestampMs / 1000);
  const rest = Math.abs(timestampMs % 1000);
  if (rest === 0) return String(whole);
  const sign = timestampMs < 0 && whole === 0 ? '-' : '';
  return `${sign}${whole}.${String(rest).padStart(3, '0')}`;
}
