// Tables and small plots for a terminal.

type Cell = unknown;

/** Columns as wide as their values, numbers to the right. */
export function tableText(names: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => row.map(cellText));
  const widths = names.map((name, index) =>
    Math.max(width(name), ...cells.map((row) => width(row[index] ?? ''))),
  );
  const numeric = names.map((_, index) =>
    rows.every((row) => row[index] === null || typeof row[index] === 'number'),
  );
  const line = (values: readonly string[]): string =>
    values
      .map((value, index) => {
        const space = ' '.repeat((widths[index] ?? 0) - width(value));
        return numeric[index] ? space + value : value + space;
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((size) => '─'.repeat(size)).join('  ');
  return `${[line(names), rule, ...cells.map(line)].join('\n')}\n`;
}

function cellText(value: Cell): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const width = (text: string): number => [...text].length;

/** RFC 4180, as the HTTP API prints it. */
export function csvText(names: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const field = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [names, ...rows].map((row) => `${row.map((cell) => field(cellText(cell))).join(',')}\r\n`).join('');
}

const bars = '▁▂▃▄▅▆▇█';

/** One character a value, from the least to the greatest; a gap where there is none. */
export function sparkline(values: readonly (number | undefined)[]): string {
  const finite = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return values
    .map((value) => {
      if (value === undefined || !Number.isFinite(value)) return ' ';
      const share = high === low ? 0.5 : (value - low) / (high - low);
      return bars[Math.min(bars.length - 1, Math.floor(share * bars.length))] ?? ' ';
    })
    .join('');
}
