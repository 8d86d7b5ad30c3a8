/** The type of a metric by its number, in both versions. */
const metricTypes = [
  'unknown',
  'counter',
  'gauge',
  'histogram',
  'gaugehistogram',
  'summary',
  'info',
  'stateset',
];

export const metricTypeOf = (number: number): string => metricTypes[number] ?? 'unknown';
