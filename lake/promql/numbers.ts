// Arithmetic as Go and Prometheus do it, where JavaScript's own differs or has none.

/** A sum with the compensation of Kahan and Neumaier. */
export interface KahanSum {
  sum: number;
  compensation: number;
}

/** Adds `value`; an infinite sum gives up its compensation, as in Prometheus. */
export function kahanAdd(acc: KahanSum, value: number): void {
  const { sum } = acc;
  const total = sum + value;
  if (total === Infinity || total === -Infinity) acc.compensation = 0;
  else if (Math.abs(sum) >= Math.abs(value)) acc.compensation += sum - total + value;
  else acc.compensation += value - total + sum;
  acc.sum = total;
}

/** A mean that sums as long as the sum does not overflow, and goes on incrementally from there. */
export interface Mean {
  readonly acc: KahanSum;
  count: number;
  incremental: boolean;
}

export const newMean = (first: number): Mean => ({
  acc: { sum: first, compensation: 0 },
  count: 1,
  incremental: false,
});

export function meanAdd(mean: Mean, value: number): void {
  const { acc } = mean;
  const count = ++mean.count;
  if (!mean.incremental) {
    const { sum, compensation } = acc;
    kahanAdd(acc, value);
    if (acc.sum !== Infinity && acc.sum !== -Infinity) return;
    acc.sum = sum / (count - 1);
    acc.compensation = compensation / (count - 1);
    mean.incremental = true;
  }
  const kept = (count - 1) / count;
  acc.sum *= kept;
  acc.compensation *= kept;
  kahanAdd(acc, value / count);
}

export function meanValue({ acc, count, incremental }: Mean): number {
  return incremental ? acc.sum + acc.compensation : acc.sum / count + acc.compensation / count;
}

/** Sorts ascending in place with NaN first, the order of Prometheus' quantiles. */
function sortNanFirst(values: Float64Array): Float64Array {
  values.sort();
  let numbers = values.length;
  while (numbers > 0 && Number.isNaN(values[numbers - 1])) numbers--;
  if (numbers < values.length) {
    values.copyWithin(values.length - numbers, 0, numbers);
    values.fill(Number.NaN, 0, values.length - numbers);
  }
  return values;
}

/** The q-quantile, interpolated between neighbours; sorts `values`. */
export function quantile(q: number, values: Float64Array): number {
  if (values.length === 0 || Number.isNaN(q)) return Number.NaN;
  if (q < 0) return -Infinity;
  if (q > 1) return Infinity;
  sortNanFirst(values);
  const rank = q * (values.length - 1);
  const lower = Math.max(0, Math.floor(rank));
  const upper = Math.min(values.length - 1, lower + 1);
  const weight = rank - Math.floor(rank);
  return (values[lower] ?? Number.NaN) * (1 - weight) + (values[upper] ?? Number.NaN) * weight;
}

/** Go's math.Mod: the remainder with the sign of the dividend (JavaScript's % is the same). */
export const fmod = (left: number, right: number): number => left % right;

/** Go's math.Max and math.Min, in which an infinity wins over NaN. */
export const largerOf = (one: number, other: number): number =>
  one === Infinity || other === Infinity ? Infinity : Math.max(one, other);
export const smallerOf = (one: number, other: number): number =>
  one === -Infinity || other === -Infinity ? -Infinity : Math.min(one, other);

/** Go's math.Pow, which knows that 1 to any power is 1 (JavaScript says NaN for NaN and infinite powers). */
export function power(base: number, exponent: number): number {
  if (base === 1) return 1;
  if (base === -1 && (exponent === Infinity || exponent === -Infinity)) return 1;
  return base ** exponent;
}

/** The smallest and largest of the values that are numbers; infinite when there is none. */
export function extremes(values: Float64Array): { readonly least: number; readonly most: number } {
  let least = Infinity;
  let most = -Infinity;
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return { least, most };
}
