// Types of a user table's columns are DuckDB's. A column that was loaded with one type and comes with another becomes
// what holds both without loss.

const userTypes = ['BOOLEAN', 'BIGINT', 'DOUBLE', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ', 'VARCHAR'] as const;
export type UserType = (typeof userTypes)[number];

/** Names that DuckDB prints for them; everything else that it finds in a CSV file is kept as text. */
const printed: Readonly<Record<string, UserType>> = { 'TIMESTAMP WITH TIME ZONE': 'TIMESTAMPTZ' };

export const userTypeOf = (duckdbType: string): UserType =>
  printed[duckdbType] ?? userTypes.find((type) => type === duckdbType) ?? 'VARCHAR';

const wider: Readonly<Partial<Record<UserType, readonly UserType[]>>> = {
  DOUBLE: ['BIGINT'],
  TIMESTAMP: ['DATE'],
};

/** The type that holds values of both: text where nothing else does. */
export function widened(one: UserType, other: UserType): UserType {
  if (one === other) return one;
  if (wider[one]?.includes(other)) return one;
  if (wider[other]?.includes(one)) return other;
  return 'VARCHAR';
}
