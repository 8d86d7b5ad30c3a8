/** What is added up. */
export const countNames = [
  'ingested_rows',
  'ingested_bytes',
  'received_rows',
  'received_bytes',
  'queries',
  'scanned_bytes',
  'refused_requests',
] as const;
type CountName = (typeof countNames)[number];

/** Of what the highest is kept. */
export const peakNames = ['stored_bytes', 'active_series'] as const;
export type PeakName = (typeof peakNames)[number];

/**
 * What a tenant has used. Ingested: what has come into its tables by whatever way, in rows and bytes of files; received:
 * what it has sent to the cloud itself, in rows and bytes as they were sent; scanned: the size of files that queries
 * could not leave out; refused: requests that met a limit of the tenant.
 */
export type Use = Readonly<Record<CountName | PeakName, number>>;

export const noUse: Use = {
  ...{ ingested_rows: 0, ingested_bytes: 0, received_rows: 0, received_bytes: 0 },
  ...{ queries: 0, scanned_bytes: 0, refused_requests: 0, stored_bytes: 0, active_series: 0 },
};

export function usedTogether(a: Use, b: Use): Use {
  const sums = countNames.map((name) => [name, a[name] + b[name]]);
  const peaks = peakNames.map((name) => [name, Math.max(a[name], b[name])]);
  return Object.fromEntries([...sums, ...peaks]) as Use;
}
