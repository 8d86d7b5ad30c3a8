/** Rows as aligned columns below their names; what is absent is `-`. */
export function textTable(
  columns: readonly string[],
  rows: readonly (readonly (string | number | null | undefined)[])[],
): string {
  const lines = [
    columns,
    ...rows.map((row) =>
      row.map((value) => (value === null || value === undefined || value === '' ? '-' : String(value))),
    ),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((value, index) => value.padEnd(widths[index] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
