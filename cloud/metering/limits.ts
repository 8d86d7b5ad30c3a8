import { z } from 'zod';

// What one tenant may use, so that the others have theirs: see decision 0037. The cloud's settings say what goes for all,
// and an operator what goes for one.

/** Defaults and what they are about. 0: no limit. */
const described = {
  ingestRowsPerSecondMax: [100_000, 'Rows a second that a tenant may send to the cloud itself'],
  ingestBytesPerSecondMax: [
    32 * 1024 * 1024,
    'Bytes a second of bodies that it may send so, of OTLP decompressed',
  ],
  activeSeriesMax: [200_000, 'Series and log streams that it sends so in 30 to 60 minutes'],
  queriesMax: [100, 'Queries of a tenant at once, with those that wait'],
  scannedBytesPerHourMax: [0, 'Bytes of files that its queries may look into in one hour of the clock'],
  storedBytesMax: [0, 'Bytes of its files in the lake, beyond which it may send nothing to the cloud itself'],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

export type LimitName = keyof typeof described;
export type TenantLimits = Readonly<Record<LimitName, number>>;

const limitNames = Object.keys(described) as readonly LimitName[];

const eachLimit = <Schema extends z.ZodType>(schemaOf: (name: LimitName) => Schema) =>
  Object.fromEntries(limitNames.map((name) => [name, schemaOf(name)])) as Record<LimitName, Schema>;

const bound = z.number().int().nonnegative();

/** Settings of the cloud. */
export const limitSettings = z
  .strictObject(
    eachLimit((name) => {
      const [fallback, about] = described[name];
      return bound.default(fallback).describe(`${about}; 0: no limit`);
    }),
  )
  .prefault({});

/** What is to be otherwise for a tenant; null: as for all. */
export const limitsBody = z.strictObject(
  eachLimit((name) =>
    bound.nullable().optional().describe(`${described[name][1]}; 0: none, null: as for all`),
  ),
);

export const limitsAnswer = z.object(
  eachLimit((name) => bound.describe(`${described[name][1]}; 0: no limit`)),
);

/** What is stored of a tenant. */
export const ownLimits = z.strictObject(eachLimit(() => bound.optional()));
export type OwnLimits = z.infer<typeof ownLimits>;
